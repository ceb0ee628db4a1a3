//! How CallTools tells an account's openseat of calls that have ended.

use url::Url;

use super::{Hooks, section::Section, source::Checked, value::Value};
use crate::calltools::address::{has_user_info, is_readable_by_others};

/// Reads the part of an `[[account]]` that is about hooks.
pub(super) fn hooks(section: &Section<'_>, account: &Checked<&str>) -> Checked<Option<Hooks>> {
    let secret_file = section.optional("hook_secret_file", Value::secret_path);
    let url = section.optional("hook_url", |value| address(value, account));
    let (secret_file, url) = (secret_file?, url?);
    if let (None, Some(value)) = (&secret_file, section.value("hook_url")) {
        value.warn(
            "does nothing without hook_secret_file: openseat takes no hooks without a secret",
        );
    }
    Ok(secret_file.map(|secret_file| Hooks { secret_file, url }))
}

/// Where CallTools is to post. Others who could read that on the way would learn the secret.
fn address(value: &Value<'_>, account: &Checked<&str>) -> Checked<Url> {
    let url = Url::parse(value.text()?).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err(value.wrong("must be a URL such as \"https://openseat.example/v1/hooks/main\""));
    };
    let flaw = if has_user_info(&url) {
        "has a user name or password in it; secrets do not belong in this file"
    } else if url.query().is_some() || url.fragment().is_some() {
        "must end with its path: `openseat hooks install` adds the secret from hook_secret_file"
    } else if is_readable_by_others(&url) {
        "must begin with https:// (or http:// on this machine): the secret could be read on the way"
    } else {
        warn_of_another_path(value, &url, account);
        return Ok(url);
    };
    Err(value.wrong(flaw))
}

/// A proxy may publish openseat under any path, but more often this is a slip.
fn warn_of_another_path(value: &Value<'_>, url: &Url, account: &Checked<&str>) {
    let Ok(account) = account else { return };
    let mut ours = url.clone();
    if let Ok(mut path) = ours.path_segments_mut() {
        path.clear().extend(["v1", "hooks", account]);
    }
    if !url.path().ends_with(ours.path()) {
        value.warn(format_args!(
            "does not end in {}, where openseat takes this account's hooks; that is right only where a proxy rewrites it",
            ours.path()
        ));
    }
}
