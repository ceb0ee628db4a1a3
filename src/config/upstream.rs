//! How to connect to an account: the address, the token's place, the timeouts.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use url::Url;

use super::{
    CREDENTIALS_DIRECTORY, TokenSource, Upstream,
    keys::nearest,
    section::Section,
    source::Checked,
    value::{Value, shown},
};
use crate::calltools::{
    ORDERING_FIELD,
    address::{KNOWN_SILOS, Silo, has_user_info, is_readable_by_others, parse_base_url},
};

/// CallTools usually answers within half a second; twenty times that is a hang.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

const WHY_TIMEOUTS: &str =
    "a usual answer takes half a second, and one that takes a minute is too old to decide by";

/// Two lost packets of the handshake are resent within three seconds.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

const CONNECT_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(30);

const WHY_CONNECT_TIMEOUTS: &str = "encryption takes several round trips, and a host that has not answered after half a minute will not";

/// Reads the part of an `[[account]]` that says how to connect to it.
pub(super) fn upstream(section: &Section<'_>, account: &Checked<&str>) -> Checked<Upstream> {
    let base_url = base_url(section);
    let token = token(section, account);
    let waits = waits(section);
    let proxy = section.optional("proxy", proxy);
    let ca_file = section.optional("ca_file", Value::path);
    let ordering_field = section.optional("ordering_field", |value| ordering_field(value));
    let (timeout, connect_timeout) = waits?;
    Ok(Upstream {
        base_url: base_url?,
        token: token?,
        connect_timeout,
        timeout,
        proxy: proxy?,
        ca_file: ca_file?,
        ordering_field: ordering_field?.unwrap_or_else(|| ORDERING_FIELD.into()),
    })
}

fn base_url(section: &Section<'_>) -> Checked<Url> {
    let insecure = section.optional("insecure_plain_http", Value::flag);
    match (section.value("silo"), section.value("base_url")) {
        (Some(value), None) => insecure.and(silo(&value)),
        (None, Some(value)) => other_address(&value, insecure?.unwrap_or(false)),
        (Some(_), Some(value)) => {
            Err(value.wrong("and silo exclude each other; remove one of the two"))
        }
        (None, None) => Err(section.wrong(
            "`silo` is missing; write the first part of the address you log in at, such as `silo = \"east-1\"`",
        )),
    }
}

fn silo(value: &Value<'_>) -> Checked<Url> {
    let text = value.text()?;
    let silo = Silo::parse(text).map_err(|error| value.wrong(error))?;
    // A text that is not a silo may be a token, so it is not repeated.
    if silo.is_known() && silo.label() != text {
        value.note(format_args!("is taken as \"{}\"", silo.label()));
    }
    if !silo.is_known() {
        value.warn(unknown_silo(silo.label()));
    }
    Ok(silo.base_url())
}

fn unknown_silo(label: &str) -> String {
    let known = match nearest(label, KNOWN_SILOS) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => format!("known are {}", KNOWN_SILOS.join(", ")),
    };
    format!("is not one of the silos known to openseat, which tries it anyway; {known}")
}

fn other_address(value: &Value<'_>, insecure: bool) -> Checked<Url> {
    let url = parse_base_url(value.text()?).map_err(|error| value.wrong(error))?;
    match (is_readable_by_others(&url), insecure) {
        (true, false) => {
            return Err(value.wrong(
                "would send the token unencrypted over the network; write https://, or insecure_plain_http = true where nobody else can listen",
            ));
        }
        (true, true) => value.warn(
            "sends the token unencrypted over the network, since insecure_plain_http is true",
        ),
        (false, _) => {}
    }
    if url.path() == "/" {
        value.warn("has no path; CallTools' own API is at /api/");
    }
    Ok(url)
}

/// Reads the proxy. It sees where we connect to, so its URL is checked like the account's own.
fn proxy(value: &Value<'_>) -> Checked<Url> {
    let url = Url::parse(value.text()?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err(value.wrong("must be a URL such as \"http://proxy.example:3128\""));
    };
    if has_user_info(&url) {
        return Err(value.wrong(
            "contains a user name or password; secrets do not belong in this file, so use a proxy that knows this machine by its address",
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(value.wrong("must end with the port: a proxy has no path"));
    }
    Ok(url)
}

/// Reads the timeouts for a complete answer and for its connection.
fn waits(section: &Section<'_>) -> Checked<(Duration, Duration)> {
    let timeout = section.optional("timeout", |value| value.duration(TIMEOUTS, WHY_TIMEOUTS));
    let connect = section.optional("connect_timeout", |value| {
        value.duration(CONNECT_TIMEOUTS, WHY_CONNECT_TIMEOUTS)
    });
    let timeout = timeout?.unwrap_or(DEFAULT_TIMEOUT);
    let connect = connect?;
    match (connect, section.value("connect_timeout")) {
        (Some(connect), Some(value)) if connect > timeout => Err(value.wrong(format_args!(
            "is {}, longer than the timeout of {} that it is a part of",
            shown(connect),
            shown(timeout)
        ))),
        _ => Ok((
            timeout,
            connect.unwrap_or(DEFAULT_CONNECT_TIMEOUT.min(timeout)),
        )),
    }
}

fn token(section: &Section<'_>, account: &Checked<&str>) -> Checked<TokenSource> {
    match (section.value("token_file"), section.value("token_env")) {
        (Some(value), None) => {
            let path = value.secret_path()?;
            Ok(match credentials(section) {
                Some(folder) if path.starts_with(&folder) => TokenSource::Credential(path),
                _ => TokenSource::File(path),
            })
        }
        (None, Some(value)) => variable(&value).map(TokenSource::Env),
        (Some(_), Some(value)) => {
            Err(value.wrong("and token_file exclude each other; remove one of the two"))
        }
        (None, None) => credential(section, (*account)?),
    }
}

/// Returns the folder in which systemd puts what `LoadCredential=` names.
fn credentials(section: &Section<'_>) -> Option<PathBuf> {
    let folder = section.env(CREDENTIALS_DIRECTORY)?;
    (!folder.is_empty()).then(|| PathBuf::from(folder))
}

fn credential(section: &Section<'_>, account: &str) -> Checked<TokenSource> {
    let file = format!("{account}.token");
    let folder = credentials(section).ok_or_else(|| {
        section.wrong(format_args!(
            "there is no token: set token_file or token_env, or let systemd pass it with LoadCredential={file}:/etc/openseat/{file}"
        ))
    })?;
    Ok(TokenSource::Credential(folder.join(file)))
}

/// Field names in Django have a few words at most.
const MAX_FIELD: usize = 100;

/// Reads the name of a Django field; a double underscore leads into a related record. It becomes part of a URL.
fn ordering_field(value: &Value<'_>) -> Checked<Arc<str>> {
    let name = value.text()?;
    if name.starts_with('-') {
        return Err(value.wrong(
            "begins with a minus; write only the field's name, openseat adds the minus itself",
        ));
    }
    let is_part_of_a_name = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    let fits = !name.is_empty() && name.len() <= MAX_FIELD && name.chars().all(is_part_of_a_name);
    fits.then(|| name.into())
        .ok_or_else(|| value.wrong("must be the name of a field: letters, digits and underscores"))
}

/// Reads the name of an environment variable. It must be in capitals, because a token pasted here by mistake has none, or not only capitals.
fn variable(value: &Value<'_>) -> Checked<String> {
    let name = value.text()?;
    let fits = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    fits.then(|| name.to_owned()).ok_or_else(|| {
        value.wrong(
            "must be the name of an environment variable, in capitals, such as \"CALLTOOLS_API_TOKEN\"; the token itself does not belong in this file",
        )
    })
}
