//! Applies an injected fault to a request.

use std::time::Duration;

use http::StatusCode;

use super::{Api, Outcome};
use crate::simulator::{
    api_error::ApiError,
    fault::InjectedFault,
    replies::{redirect, reply, web_page},
    throttle::Throttled,
};

impl Api {
    pub(super) fn fail(&self, fault: InjectedFault, now: Duration) -> Outcome {
        let json = |body: &'static str| reply(StatusCode::OK, "application/json", body);
        match fault {
            InjectedFault::InvalidToken => {
                ApiError::Unauthenticated("Invalid token.").reply().into()
            }
            InjectedFault::Forbidden => ApiError::Forbidden.reply().into(),
            InjectedFault::NotFound => ApiError::NotFound("Not found.").reply().into(),
            InjectedFault::Throttled(wait) => {
                self.throttled(Throttled { wait }, now).reply().into()
            }
            InjectedFault::WebPage(status) => {
                let status = StatusCode::from_u16(status);
                web_page(status.unwrap_or(StatusCode::BAD_GATEWAY)).into()
            }
            InjectedFault::Redirect(location) => redirect(StatusCode::FOUND, &location).into(),
            InjectedFault::BrokenJson => {
                json(r#"{"count":3,"next":null,"previous":null,"results":[{"app_user":"#).into()
            }
            InjectedFault::WrongShape => json(r#"{"agents":{"total":3},"results":"none"}"#).into(),
            InjectedFault::EmptyBody => json("").into(),
            InjectedFault::NoRows => {
                json(r#"{"count":0,"next":null,"previous":null,"results":[]}"#).into()
            }
            // A slow answer is a correct one, and was given above.
            InjectedFault::Slow(_) | InjectedFault::Hang => Outcome::Hang,
            InjectedFault::Dropped => Outcome::Dropped,
        }
    }
}
