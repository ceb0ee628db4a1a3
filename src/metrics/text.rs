//! Rewrites OpenMetrics as the text format 0.0.4.
//!
//! It understands only what our own registry writes: `HELP`, then `TYPE`, then samples, without exemplars or timestamps.

use std::fmt::Write;

/// Rewrites an exposition. Sample lines are the same in both formats. Lines that begin with `#` differ: the older format names a counter
/// with its `_total`, and has no `info`, `UNIT` or `EOF`.
pub(super) fn from_openmetrics(exposition: &str) -> String {
    let mut text = String::with_capacity(exposition.len());
    let mut help = "";
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            family(&mut text, rest, help);
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn family(text: &mut String, name_and_kind: &str, help: &str) {
    let (name, kind) = name_and_kind
        .split_once(' ')
        .unwrap_or((name_and_kind, "unknown"));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    };
    writeln!(
        text,
        "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"
    )
    .expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::from_openmetrics;

    #[test]
    fn names_and_types_become_those_of_the_older_format() {
        let openmetrics = "# HELP a_build Which.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_calls Calls.\n# TYPE a_calls counter\na_calls_total{queue=\"# HELP x\"} 2\n\
            # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n# UNIT a_age_seconds seconds\na_age_seconds 1.5\n# EOF\n";
        assert_eq!(
            from_openmetrics(openmetrics),
            "# HELP a_build_info Which.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_calls_total Calls.\n# TYPE a_calls_total counter\na_calls_total{queue=\"# HELP x\"} 2\n\
            # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\na_age_seconds 1.5\n"
        );
    }
}
