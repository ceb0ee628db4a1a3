//! The `Call` record that CallTools posts to REST hooks once a call is over.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{json, row::agent_id};
use crate::model::{
    agent::AgentId,
    field::{self, BadRow, Field},
};

/// A call that has ended, as far as it matters here: whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `app_user`; `None` for a call that nobody took.
    pub agent: Option<AgentId>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    app_user: Field<'a>,
}

impl Call {
    /// Reads a record. `app_user` may have any of the forms that it has in a row of `agentstatuses/`.
    ///
    /// # Errors
    /// [`BadRow`], where it is no JSON object, or does not say whose call it was.
    pub fn read(body: &[u8]) -> Result<Self, BadRow> {
        let text = json::text(body).map_err(|_| BadRow("the record is not sound JSON"))?;
        let record: &RawValue =
            serde_json::from_str(&text).map_err(|_| BadRow("the record is not sound JSON"))?;
        if !record.get().starts_with('{') {
            return Err(BadRow("the record is not an object"));
        }
        let fields: Fields<'_> = field::read(record)?;
        let agent = match &fields.app_user {
            Field::Absent => return Err(BadRow("the record has no app_user")),
            Field::Null => None,
            app_user => Some(agent_id(app_user)?),
        };
        Ok(Self { agent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_agent_is_found_in_every_form() {
        for (app_user, id) in [
            (r#""6ba7b810-9dad""#, "6ba7b810-9dad"),
            ("77", "77"),
            (r#""77""#, "77"),
            (r#""https://east-1.calltools.io/api/users/77/""#, "77"),
            (r#"{"id": 77, "full_name": "Ada"}"#, "77"),
            (r#"{"id": "6ba7b810-9dad"}"#, "6ba7b810-9dad"),
        ] {
            let record = format!(r#" {{"id": 1, "app_user": {app_user}, "duration": 95}}"#);
            let agent = Call::read(record.as_bytes()).expect(app_user).agent;
            assert_eq!(agent, Some(AgentId(id.into())), "{app_user}");
        }
    }

    #[test]
    fn a_call_that_nobody_took_is_nobodys() {
        let call = Call::read(br#"{"app_user": null}"#);
        assert_eq!(call, Ok(Call { agent: None }));
    }

    #[test]
    fn rubbish_is_told_from_a_record() {
        for (body, why) in [
            ("", "not sound JSON"),
            ("app_user=77", "not sound JSON"),
            (r#"{"app_user": 77"#, "not sound JSON"),
            (r#"{"app_user": 77, "app_user": 78}"#, "cannot be read"),
            ("[]", "not an object"),
            (r#"[{"app_user": 77}]"#, "not an object"),
            ("77", "not an object"),
            ("{}", "no app_user"),
            (r#"{"app_user": true}"#, "not an id"),
            (r#"{"app_user": ""}"#, "not an id"),
            (r#"{"app_user": [77]}"#, "not an id"),
            (r#"{"app_user": {"name": "Ada"}}"#, "not an id"),
        ] {
            let error = Call::read(body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains(why), "{body}: {error}");
        }
        assert!(Call::read(b"\xff").is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Call::read(&body);
        }
    }
}
