//! Login and logout for browsers, if the API requires a token.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use maud::html;

use super::{layout::Page, paths};
use crate::server::{
    http::{body::RequestBody, params::Params, problem::Problem, rule::LOGIN},
    net::arrival::Arrival,
    openapi::DOCS_PATH,
    state::{
        app::App,
        guesses::Source,
        sessions::{no_cookie, set_cookie},
    },
};

/// The scheme of the original request, as a proxy reports it.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The size limit of the form: a token and a path, percent-encoded.
pub(super) const MAX_FORM: usize = 8 * 1024;

/// The page to show after login. Only our own pages, since `next` may come from another site's link, and only what a header may contain.
fn destination(next: Option<&str>) -> &str {
    let own = [paths::QUEUES, paths::CALLS, DOCS_PATH];
    let is_own = |next: &&str| own.iter().any(|own| next.starts_with(own));
    let is_plain = |next: &&str| next.bytes().all(|byte| byte.is_ascii_graphic());
    next.filter(is_own).filter(is_plain).unwrap_or("/")
}

/// `GET /login`
pub(super) async fn show_login(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::named(uri.query(), &["next"])?;
    let next = destination(params.one("next")?);
    let is_logged_in = app.bearer.is_none() || app.sessions.knows(&headers, app.clock.now());
    Ok(match is_logged_in {
        true => Redirect::to(next).into_response(),
        false => form(&app, next, None),
    })
}

fn form(app: &App, next: &str, wrong: Option<&str>) -> Response {
    let content = html! {
        form.login method="post" action=(LOGIN) {
            h1 { "Log in" }
            p { "Enter the token from the file that " code { "bearer_token_file" } " names in the config." }
            @if let Some(wrong) = wrong { p.wrong #wrong role="alert" { (wrong) } }
            label for="token" { "Token" }
            input #token name="token" type="password" autocomplete="current-password" required autofocus
                aria-describedby=[wrong.map(|_| "wrong")];
            input type="hidden" name="next" value=(next);
            button type="submit" { "Log in" }
        }
    };
    Page {
        title: "Log in – openseat".to_owned(),
        watch: None,
        address: None,
        content,
    }
    .answer(app)
}

/// `POST /login`
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
    RequestBody(body): RequestBody,
) -> Result<Response, Problem> {
    let (token, next) = fields(&body?);
    let next = destination(Some(&next));
    let Some(bearer) = &app.bearer else {
        return Ok(Redirect::to(next).into_response());
    };
    let is_right = || bearer.open_for(token.trim());
    let source = Source::new(arrival, &headers);
    let guesses = &app.sessions.guesses;
    match guesses.look(source, token.trim(), app.clock.now(), is_right) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!(client = %source, "a login with a wrong token was refused");
            let wrong = form(&app, next, Some("This token is wrong."));
            return Ok((StatusCode::UNAUTHORIZED, wrong).into_response());
        }
        Err(wait) => {
            let wrong = "Too many wrong tokens from your address. Try again in a few seconds.";
            let after = [(header::RETRY_AFTER, wait.as_secs().max(1).to_string())];
            let form = form(&app, next, Some(wrong));
            return Ok((StatusCode::TOO_MANY_REQUESTS, after, form).into_response());
        }
    }
    let id = app.sessions.begin(app.clock.now()).map_err(|error| {
        tracing::error!(%error, "login failed: the system gave no random session id");
        Problem::internal_error()
    })?;
    let cookie = set_cookie(&id, is_secure(arrival, &headers));
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response())
}

fn fields(body: &[u8]) -> (String, String) {
    let mut fields = (String::new(), String::new());
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "token" => fields.0 = value.into_owned(),
            "next" => fields.1 = value.into_owned(),
            _ => {}
        }
    }
    fields
}

/// Whether the browser used TLS: openseat's own, or a proxy's, according to the browser's `Origin` or the proxy. A client that lies here only stops
/// its own cookie from being sent.
fn is_secure(arrival: Arrival, headers: &HeaderMap) -> bool {
    let begins = |name, with: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value: &str| value.starts_with(with))
    };
    arrival.tls || begins(header::ORIGIN, "https://") || begins(FORWARDED_PROTO, "https")
}

/// `POST /logout`
pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    arrival: Arrival,
    headers: HeaderMap,
) -> Response {
    app.sessions.end(&headers, app.clock.now());
    let cookie = no_cookie(is_secure(arrival, &headers));
    ([(header::SET_COOKIE, cookie)], Redirect::to(LOGIN)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_in_leads_only_to_our_own_pages() {
        for foreign in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/v1/queues",
            "",
        ] {
            assert_eq!(destination(Some(foreign)), "/", "{foreign}");
        }
        for own in [
            "/queues/main/%3Cb%3E",
            "/queues/main/sales?range=7d&threshold=3",
            "/calls?call_id=a%26b",
            "/docs",
        ] {
            assert_eq!(destination(Some(own)), own);
        }
        assert_eq!(destination(None), "/");
    }
}
