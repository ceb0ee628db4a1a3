use super::*;

fn read(raw: &str) -> Result<String, NoCallId> {
    let query = format!("zip=90210&call_id={raw}&x=1");
    let found = from_query(Some(&query)).expect("the query has a call id");
    found.map(Cow::into_owned)
}

/// The ways in which a client may encode a text: not at all if that is allowed, once, twice, and with every byte encoded.
fn encodings(text: &str) -> Vec<String> {
    let once: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let twice: String = url::form_urlencoded::byte_serialize(once.as_bytes()).collect();
    let lower = once.to_lowercase();
    let each: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![text.replace(' ', "+"), once, twice, lower, each]
}

#[test]
fn placeholders_are_not_ids() {
    for name in [
        "id",
        "call_id",
        "CALLER_ID",
        "call.id",
        "Call:Id",
        "be",
        "dead_beef",
        "call id",
    ] {
        for form in [
            "[*]",
            "{{*}}",
            "{{ * }}",
            "{*}",
            "${*}",
            "%*%",
            "<*>",
            "[[*]]",
            "x-[[*]]",
            "--A--*--B--",
            "%%*%%",
            "ringba-{{*}}",
            "call-${*}",
        ] {
            let placeholder = form.replace('*', name);
            for raw in encodings(&placeholder) {
                let found = read(&raw);
                assert!(
                    matches!(found, Err(NoCallId::Placeholder(_))),
                    "{raw}: {found:?}"
                );
            }
        }
    }
    for word in ["null", "undefined", "None", "nil", "(null)"] {
        for word in [word.to_owned(), word.to_uppercase(), format!(" {word} ")] {
            for raw in encodings(&word) {
                assert!(matches!(read(&raw), Err(NoCallId::Nothing(_))), "{raw}");
            }
        }
    }
    for empty in ["", "+", "%20", "%2520", "%09"] {
        assert_eq!(read(empty), Err(NoCallId::Empty), "{empty}");
    }
    assert_eq!(from_query(Some("call_id")), Some(Err(NoCallId::Empty)));
    assert_eq!(
        from_query(Some("call_id=a&call_id=b")),
        Some(Err(NoCallId::Repeated))
    );
    assert_eq!(read(&"x".repeat(257)), Err(NoCallId::TooLong));
}

#[test]
fn ids_of_calls_are_kept_unchanged() {
    for id in [
        "a84b4c76e66710",
        "7133",
        "0",
        "null-7",
        "CA5ef8732a3c49700934481addd5ce1659",
        "a84b4c76e66710@pc33.atlanta.com",
        "3848276298220188511@[2001:db8::1]",
        "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "RGB-1a2b/3c",
        "50%",
        "Vertrieb Süd 7",
    ] {
        let once: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
        assert_eq!(read(&once).as_deref(), Ok(id));
    }
    assert_eq!(read("a&call_id=a").as_deref(), Ok("a"));
    assert_eq!(from_query(Some("caller_id=a&CALL_ID=b")), None);
    assert_eq!(from_query(None), None);
}

#[test]
fn white_space_around_an_id_is_not_part_of_it() {
    for raw in [
        "+13105550100",
        "13105550100+",
        "%2013105550100",
        "+13105550100%0d%0a",
        "%C2%A013105550100",
    ] {
        assert_eq!(read(raw).as_deref(), Ok("13105550100"), "{raw}");
        assert_eq!(
            read(&format!("{raw}&call_id={raw}")).as_deref(),
            Ok("13105550100")
        );
    }
    assert_eq!(read("%2B13105550100").as_deref(), Ok("+13105550100"));
    assert_eq!(read("a+b").as_deref(), Ok("a b"));
    let long = "x".repeat(256);
    assert_eq!(read(&format!("++{long}+")).as_deref(), Ok(&*long));
    assert_eq!(parse(" 7\n"), Ok("7"));
    assert_eq!(other_spelling("+1310"), "1310");
    assert_eq!(other_spelling("1310"), "+1310");
}

#[test]
fn bytes_that_are_no_text_are_not_an_id() {
    for raw in ["%ff", "%fe", "a%80", "%C3", "%ED%A0%80"] {
        assert_eq!(read(raw), Err(NoCallId::NotText), "{raw}");
    }
    for raw in ["%00", "a%00b", "a%1bb", "a%0Ab", "%7f", "%C2%85x%C2%80"] {
        assert_eq!(read(raw), Err(NoCallId::Control), "{raw}");
    }
    assert_eq!(parse("a\u{0}"), Err(NoCallId::Control));
    // The replacement character itself may be in an id.
    assert_eq!(read("%EF%BF%BD").as_deref(), Ok("\u{fffd}"));
}

#[test]
fn ids_that_resemble_placeholders_are_ids() {
    for raw in [
        "a84b4c76e66710",
        "a--b",
        "--A--id--B--",
        "a@b.c",
        "1:2",
        "null",
        "NaN",
        "",
        "{id}",
        "[ID]",
        "a b",
        "a%20b",
        &"x".repeat(257),
    ] {
        if is_plain(raw) {
            assert_eq!(read(raw).as_deref(), Ok(raw));
        }
    }
    assert!(is_plain("a84b4c76e66710@pc33.atlanta.com"));
    assert!(!is_plain("Undefined") && !is_plain("{id}"));
}
