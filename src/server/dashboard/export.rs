//! The recorded history of a queue, for programs and spreadsheets.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};

use super::{
    history::{Look, look},
    pages::Pages,
    period::{self, Period},
};
use crate::{
    decision::Reason,
    server::{
        http::{
            params::{Parameter, Params, Shape},
            problem::Problem,
            problem_types,
        },
        json::history::HistoryJson,
        state::{app::App, named_queue::NamedQueue},
    },
};

/// The parameters of a request for the history.
pub(in crate::server) const HISTORY_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "range",
        meaning: "How far back; a day by default. Each part is one minute for `1h`, ten minutes for `24h`, one hour for `7d`",
        shape: Shape::OneOf(&["1h", "24h", "7d"]),
        example: "24h",
    },
    Parameter {
        name: "format",
        meaning: "`csv` answers comma-separated values, for spreadsheets",
        shape: Shape::OneOf(&["json", "csv"]),
        example: "json",
    },
];

/// `GET /v1/queues/{queue}/history?range=24h&format=csv`
pub(in crate::server) async fn get_history(
    State(app): State<Arc<App>>,
    Extension(pages): Extension<Arc<Pages>>,
    NamedQueue(queue): NamedQueue,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::parse(uri.query(), HISTORY_PARAMETERS)?;
    let period = period::from_params(&params)?.unwrap_or(Period::Day);
    let is_csv = match params.one("format")? {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => {
            let why = "\"format\" must be json or csv here";
            return Err(Problem::bad_parameter(why));
        }
    };
    let (part, key) = (period.export_part(), queue.key.clone());
    let window = period.window(app.clock.now(), part);
    let read = look(&app, &pages.history, move |history| {
        let range = window.range()?;
        Ok((
            history.series(&key, range)?,
            history.decisions(&key, range)?,
        ))
    });
    let (buckets, decided) = match read.await? {
        Look::Seen(read) => read,
        Look::NotKept | Look::NotYet => Default::default(),
        Look::Unreadable(why) => {
            return Err(Problem::new(problem_types::HISTORY_UNREADABLE, why));
        }
    };
    let is_known = |reason: &str| {
        let known = Reason::ALL.iter().find(|known| known.as_str() == reason);
        known.is_some_and(|known| known.is_known())
    };
    let json = HistoryJson::new(
        &queue.key,
        period.as_str(),
        part,
        buckets,
        &decided,
        is_known,
    );
    if !is_csv {
        return Ok(Json(json).into_response());
    }
    let csv = HeaderValue::from_static("text/csv; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, csv)], json.to_csv()).into_response())
}
