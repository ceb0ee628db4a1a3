//! Which names the config can have for queues and accounts: those that fit into a URL, a metric and a line of the log. CallTools allows more.

/// Far above any name in use, far below what would make metrics unreadable.
const MAX_NAME: usize = 200;

/// Says why the config cannot name a queue or an account so, if it cannot.
pub fn unfit(name: &str) -> Option<String> {
    let flaw = if name.trim().is_empty() {
        "is empty"
    } else if name.contains(char::is_control) {
        "has a control character in it, such as a tab or a line break"
    } else if name.trim() != name {
        "begins or ends with a space"
    } else if name.contains('/') {
        "has a slash in it, which would look like two names in the URL of a decision"
    } else if [".", ".."].contains(&name) {
        "is only dots, which clients leave out of the URL of a decision"
    } else if name.len() > MAX_NAME {
        return Some(format!("is longer than {MAX_NAME} bytes"));
    } else {
        return None;
    };
    Some(flaw.to_owned())
}
