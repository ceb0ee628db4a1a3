//! `/v1/queues/{queue}/chart.svg`: a queue's seats over time as a picture, for wikis and walls.

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};

use super::{
    charts::{self, TimeAxis},
    history::{Look, look},
    pages::Pages,
    period::{self, Period, RANGE, Window},
    zone::Zone,
};
use crate::{
    model::quantity::Quantity,
    server::{
        http::{params::Params, problem::Problem, problem_types},
        state::{
            app::{App, Queue},
            named_queue::NamedQueue,
        },
    },
    state::history::Bucket,
};

/// The policy of a chart that is a file of its own. It contains its style; it runs nothing and loads nothing.
const CHART_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// `GET /v1/queues/{queue}/chart.svg?range=24h`
pub(in crate::server) async fn get_chart(
    State(app): State<Arc<App>>,
    Extension(pages): Extension<Arc<Pages>>,
    NamedQueue(queue): NamedQueue,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), RANGE)?;
    let period = period::from_params(&params)?.unwrap_or(Period::Day);
    let window = period.window(app.clock.now(), period.seats_part());
    let (key, range) = (queue.key.clone(), window.range());
    let series = look(&app, &pages.history, move |history| {
        history.series(&key, range?)
    });
    let seen = match series.await? {
        Look::Seen(seen) => seen,
        // An empty chart, so that a wiki that embeds it has an image even before the first poll.
        Look::NotKept | Look::NotYet => Vec::new(),
        Look::Unreadable(why) => {
            let detail = format!("there is nothing to draw: {why}");
            return Err(Problem::new(problem_types::HISTORY_UNREADABLE, detail));
        }
    };
    let chart = draw(&app, &queue, period, window, &seen);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("image/svg+xml"),
        ),
        (header::CONTENT_SECURITY_POLICY, CHART_POLICY),
    ];
    Ok((headers, chart).into_response())
}

fn draw(app: &App, queue: &Queue, period: Period, window: Window, seen: &[Bucket]) -> String {
    let state = app.state(queue);
    let name = state.name.as_deref().unwrap_or(&queue.key.queue);
    let threshold = queue.rules.policy.threshold.map(Quantity::get);
    let zone = Zone::utc();
    let time = TimeAxis {
        period,
        window,
        zone: &zone,
    };
    let chart = charts::seats(time, seen, threshold, "Seats");
    let nothing = match seen.iter().any(|bucket| bucket.seats.is_some()) {
        true => "",
        false => " (nothing recorded)",
    };
    charts::standalone(
        chart,
        &format!("{name}: seats, last {}, UTC{nothing}", period.name()),
    )
}
