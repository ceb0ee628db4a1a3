//! "Did you mean …?": the names nearest to one that does not exist.

/// As many as people read in one line.
const MAX_SUGGESTIONS: usize = 3;

/// Jaro-Winkler similarity from which a name is worth suggesting: `sales` and `sales-queue` have 0.88, words that merely share
/// some letters stay around 0.6.
const NEAR: f64 = 0.75;

/// The longest part of a name that is compared; the time to compare grows with its square.
const COMPARED_CHARS: usize = 100;

/// Returns the names most similar to `asked`, best first; none if none is similar.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(f64, &str)> = names
        .map(|name| (likeness(asked, name), name))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .collect();
    near.sort_by(|(a, a_name), (b, b_name)| b.total_cmp(a).then(a_name.cmp(b_name)));
    near.dedup_by_key(|(_, name)| *name);
    let best = near.into_iter().take(MAX_SUGGESTIONS);
    best.map(|(_, name)| name.to_owned()).collect()
}

/// The positions of all names, most similar to `asked` first; equally similar ones by name.
pub(crate) fn by_likeness<'a>(asked: &str, names: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut ranked: Vec<(f64, &str, usize)> = names
        .enumerate()
        .map(|(place, name)| (likeness(asked, name), name, place))
        .collect();
    ranked.sort_by(|(a, a_name, _), (b, b_name, _)| b.total_cmp(a).then(a_name.cmp(b_name)));
    ranked.into_iter().map(|(_, _, place)| place).collect()
}

/// Returns a similarity from 0 to 1; above 1 for names that differ only in case and surrounding blanks, the usual mistake.
fn likeness(asked: &str, name: &str) -> f64 {
    let plain = |text: &str| -> String {
        let lower = text.trim().to_lowercase();
        lower.chars().take(COMPARED_CHARS).collect()
    };
    let (asked, name) = (plain(asked), plain(name));
    if asked == name {
        return 2.0;
    }
    strsim::jaro_winkler(&asked, &name)
}
