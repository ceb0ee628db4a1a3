use proptest::prelude::*;

use super::*;

#[test]
fn a_silo_is_a_label_or_the_address_of_the_login_page() {
    for (text, label) in [
        ("east-1", "east-1"),
        (" west-4\n", "west-4"),
        ("https://east-1.calltools.io/login/", "east-1"),
        ("https://East-1.CallTools.io/login/?next=/", "east-1"),
        ("http://app.calltools.io", "app"),
        ("https://east-1.calltools.io:443/", "east-1"),
        ("central-1.calltools.io", "central-1"),
        ("central-1.calltools.io/login/", "central-1"),
        ("East-1", "east-1"),
        ("WEST-2.CallTools.IO", "west-2"),
        ("EAST-1.calltools.com/login?next=/", "east-1"),
        ("https://East-3.CallTools.com/#/queues", "east-3"),
        ("app.calltools.io?x=1", "app"),
    ] {
        let silo = Silo::parse(text).expect(text);
        assert_eq!(silo.label(), label, "{text}");
        assert_eq!(
            silo.base_url().as_str(),
            format!("https://{label}.calltools.io/api/")
        );
    }
}

#[test]
fn anything_else_is_rejected() {
    for (text, error) in [
        ("", NotASilo::Label),
        ("Eäst-1", NotASilo::Label),
        ("calltools.com", NotASilo::Label),
        ("east-1.calltools.com.evil.example", NotASilo::Label),
        ("https://calltools.com/", NotASilo::ForeignHost),
        ("east 1", NotASilo::Label),
        ("-east", NotASilo::Label),
        ("east/1", NotASilo::Label),
        ("east.1", NotASilo::Label),
        (".calltools.io", NotASilo::Label),
        ("a.b.calltools.io", NotASilo::Label),
        ("0123456789abcdef0123456789abcdef01234567", NotASilo::Label),
        ("https://", NotASilo::Url),
        ("https://calltools.io/", NotASilo::ForeignHost),
        ("https://east-1.calltools.io:8443/", NotASilo::ForeignHost),
        (
            "https://east-1.calltools.io.evil.example/",
            NotASilo::ForeignHost,
        ),
        (
            "https://evil.example/east-1.calltools.io",
            NotASilo::ForeignHost,
        ),
    ] {
        assert_eq!(Silo::parse(text), Err(error), "{text}");
    }
}

#[test]
fn a_base_url_always_ends_in_a_slash() {
    for (text, url) in [
        (
            "https://east-1.calltools.io/api/",
            "https://east-1.calltools.io/api/",
        ),
        ("http://127.0.0.1:8500/api", "http://127.0.0.1:8500/api/"),
        ("http://[::1]:8500", "http://[::1]:8500/"),
    ] {
        assert_eq!(parse_base_url(text).expect(text).as_str(), url);
    }
}

#[test]
fn a_base_url_contains_only_a_location() {
    for (text, error) in [
        ("east-1", NotABaseUrl::Malformed),
        ("https://", NotABaseUrl::Malformed),
        ("ftp://host/", NotABaseUrl::Scheme),
        ("unix:/run/socket", NotABaseUrl::Scheme),
        ("https://user@host/", NotABaseUrl::UserInfo),
        ("https://:password@host/", NotABaseUrl::UserInfo),
        ("https://host/api/?page_size=250", NotABaseUrl::Tail),
        ("https://host/api/#", NotABaseUrl::Tail),
    ] {
        assert_eq!(parse_base_url(text), Err(error), "{text}");
    }
}

#[test]
fn a_token_stays_on_this_machine_or_is_encrypted() {
    for (text, readable) in [
        ("https://host/", false),
        ("http://localhost:1/", false),
        ("http://127.9.9.9/", false),
        ("http://[::1]/", false),
        ("http://[::ffff:127.0.0.1]/", false),
        ("http://10.0.0.1/", true),
        ("http://localhost.example/", true),
        ("http://127.0.0.1.example/", true),
    ] {
        let url = parse_base_url(text).expect(text);
        assert_eq!(is_readable_by_others(&url), readable, "{text}");
    }
}

proptest! {
    #[test]
    fn a_silo_never_leads_to_another_domain(text in "\\PC{0,60}|https?://[a-z0-9.:@/-]{0,40}") {
        if let Ok(silo) = Silo::parse(&text) {
            let url = silo.base_url();
            prop_assert_eq!(url.scheme(), "https");
            prop_assert!(url.host_str().expect("a host").ends_with(".calltools.io"));
            prop_assert_eq!(url.path(), "/api/");
        }
    }
}
