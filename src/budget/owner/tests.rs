use super::*;

#[test]
fn all_spellings_of_an_address_are_one_origin() {
    for (same, spellings) in [
        (
            "east-1.calltools.io",
            &[
                "https://east-1.calltools.io/api/",
                "https://EAST-1.CallTools.io:443//api/",
                "https://east-1.calltools.io./api/v2/",
                "http://east-1.calltools.io/api",
            ][..],
        ),
        (
            "localhost:8080",
            &[
                "http://localhost:8080/",
                "http://LOCALHOST.:8080//api/",
                "http://127.0.0.1:8080/",
                "http://127.8.9.10:8080/",
                "http://[::1]:8080/",
                "http://[::ffff:127.0.0.1]:8080/",
                "http://0.0.0.0:8080/",
                "http://127.1:8080/",
                "http://calltools.localhost:8080/",
            ],
        ),
        (
            "localhost",
            &["http://localhost:80/", "https://127.0.0.1:443/"],
        ),
        (
            "192.0.2.1",
            &["http://192.0.2.1/", "http://[::ffff:192.0.2.1]/"],
        ),
    ] {
        for spelling in spellings {
            let url = Url::parse(spelling).expect(spelling);
            assert_eq!(origin(&url), same, "{spelling}");
        }
    }
}

#[test]
fn different_ports_and_hosts_are_different_origins() {
    let origins = [
        "http://a/",
        "http://a:8080/",
        "http://a:8081/",
        "http://b/",
        "http://192.0.2.1/",
    ]
    .map(|text| origin(&Url::parse(text).expect(text)));
    for (n, one) in origins.iter().enumerate() {
        assert!(!origins[n + 1..].contains(one), "{one}");
    }
}

fn owner((account, identity): (&str, &str)) -> BudgetOwner {
    BudgetOwner {
        account: account.to_owned(),
        identity: identity.to_owned(),
    }
}

#[test]
fn a_chain_of_names_and_tokens_is_one_group() {
    for (owners, expected) in [
        (&[("a", "1"), ("b", "2")][..], &[0, 1][..]),
        (&[("a", "1"), ("b", "1")], &[0, 0]),
        (&[("a", "1"), ("b", "2"), ("b", "1")], &[0, 0, 0]),
        (
            &[("a", "1"), ("b", "2"), ("c", "3"), ("b", "3"), ("c", "1")],
            &[0; 5],
        ),
        (
            &[("a", "1"), ("x", "9"), ("b", "1"), ("b", "2"), ("x", "8")],
            &[0, 1, 0, 0, 1],
        ),
        (
            &[("c", "3"), ("b", "2"), ("a", "1"), ("b", "3"), ("a", "2")],
            &[0; 5],
        ),
    ] {
        let owners: Vec<_> = owners.iter().copied().map(owner).collect();
        assert_eq!(groups(owners.iter()), expected, "{owners:?}");
    }
}
