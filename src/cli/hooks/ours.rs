//! Which subscriptions are openseat's, and how their addresses are shown. Pure.

use std::fmt;

use url::Url;

use crate::{
    calltools::{NewSubscription, Subscription},
    config::HookSecret,
};

/// What the description of every subscription begins with that openseat makes.
const SIGN: &str = "openseat: ";

/// Stands for what is not shown.
const STARS: &str = "***";

/// The subscription that an account shall have. It has no `Debug`, since its address bears the secret; it is shown without.
pub(super) struct Wish {
    account: String,
    /// Without the secret.
    place: String,
    /// With it.
    url: String,
}

impl Wish {
    pub fn new(account: &str, url: &Url, secret: &HookSecret) -> Self {
        Self {
            account: account.to_owned(),
            place: url.as_str().to_owned(),
            url: secret.added_to(url),
        }
    }

    /// What CallTools is to be asked for.
    pub fn wanted(&self) -> NewSubscription {
        NewSubscription::to_calls(self.url.clone(), format!("{SIGN}{}", self.account))
    }

    /// Whether nothing is to be done, whoever did it.
    pub fn is_met_by(&self, one: &Subscription) -> bool {
        one.is_about_calls() && *one.url == self.url
    }

    /// Whether openseat made it for this very address, with this secret or another.
    pub fn is_ours(&self, one: &Subscription) -> bool {
        let place = one.url.split('?').next().unwrap_or_default();
        one.is_about_calls() && one.description.starts_with(SIGN) && place == self.place
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&veiled(&self.url))
    }
}

/// An address without what may be a secret in it: the values of its query, its user and password, its fragment. Those of others bear
/// their secrets under names that we do not know.
pub(super) fn veiled(url: &str) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, _)) => (url, "#***"),
        None => (url, ""),
    };
    match url.split_once('?') {
        Some((place, query)) => {
            let pairs: Vec<_> = query.split('&').map(veiled_pair).collect();
            format!("{}?{}{fragment}", without_user(place), pairs.join("&"))
        }
        None => without_user(url) + fragment,
    }
}

fn veiled_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) => format!("{name}={STARS}"),
        None => STARS.to_owned(),
    }
}

fn without_user(place: &str) -> String {
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{STARS}{}", &rest[at..]),
        None => place.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish() -> Wish {
        let url = "https://openseat.example/v1/hooks/main".parse();
        let secret = HookSecret::parse("0123456789abcdef").expect("a secret");
        Wish::new("main", &url.expect("a URL"), &secret)
    }

    fn subscription(model: &str, url: &str, description: &str) -> Subscription {
        Subscription {
            id: "1".into(),
            model: model.into(),
            url: url.into(),
            description: description.into(),
        }
    }

    #[test]
    fn ours_is_what_we_made_for_the_same_address() {
        const PLACE: &str = "https://openseat.example/v1/hooks/main";
        for (model, tail, description, ours, met) in [
            (
                "Call",
                "?secret=0123456789abcdef",
                "openseat: main",
                true,
                true,
            ),
            ("Call", "?secret=0123456789abcdef", "by hand", false, true),
            ("Call", "?secret=another", "openseat: main", true, false),
            ("Call", "", "openseat: main", true, false),
            ("Call", "?secret=another", "by hand", false, false),
            ("Call", "/2?secret=another", "openseat: main", false, false),
            (
                "Contact",
                "?secret=0123456789abcdef",
                "openseat: main",
                false,
                false,
            ),
        ] {
            let one = subscription(model, &format!("{PLACE}{tail}"), description);
            let wish = wish();
            assert_eq!(
                (wish.is_ours(&one), wish.is_met_by(&one)),
                (ours, met),
                "{model} {tail} {description}"
            );
        }
    }

    #[test]
    fn an_address_is_shown_without_secrets() {
        for (url, shown) in [
            ("https://a.example/h", "https://a.example/h"),
            (
                "https://a.example/h?secret=x",
                "https://a.example/h?secret=***",
            ),
            (
                "https://a.example/h?a=x&x&b=",
                "https://a.example/h?a=***&***&b=***",
            ),
            ("https://x:x@a.example/h@i", "https://***@a.example/h@i"),
            (
                "https://a.example/h?a=1?x#x",
                "https://a.example/h?a=***#***",
            ),
            ("x@y", "://***@y"),
        ] {
            assert_eq!(veiled(url), shown);
        }
        assert_eq!(
            wish().to_string(),
            "https://openseat.example/v1/hooks/main?secret=***"
        );
    }

    proptest! {
        #[test]
        fn no_value_of_a_query_is_shown(
            before in "(https://)?[a-z.@:/]{0,20}",
            between in "[a-z=&?#]{0,10}",
            after in "([=&#?/@][a-z]{0,5}){0,3}",
        ) {
            let url = format!("{before}?{between}=S3CR3T{after}");
            prop_assert!(!veiled(&url).contains("S3CR3T"), "{}", veiled(&url));
        }
    }
}
