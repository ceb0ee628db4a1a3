//! Rebuilds CallTools' response from the rows of all pages.

use std::borrow::Borrow;

use serde_json::{Value, json};

use crate::model::agent::Agent;

/// Returns the whole response, for custom criteria: `results` has every row with all that CallTools sent, `count` is their number, and there are no
/// further pages.
///
/// # Errors
/// A row is JSON but cannot be parsed as a value. Of the rows from a [`Page`](super::Page), only one that imitates the parser's own markers fails;
/// leaving it out would make the count wrong.
pub fn joined_response<A: Borrow<Agent>>(agents: &[A]) -> Result<Value, serde_json::Error> {
    let rows = agents
        .iter()
        .map(|agent| serde_json::from_str(agent.borrow().raw.json().get()))
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(json!({"count": rows.len(), "next": null, "previous": null, "results": rows}))
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;
    use crate::{calltools::Row, model::names::Names};

    fn agent(text: &str) -> Agent {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        Row::read_again(&raw.into(), &Names::default())
            .unwrap()
            .agent
    }

    #[test]
    fn has_all_rows_with_all_their_fields() {
        let row =
            r#"{"app_user":1,"logged_in":true,"status":"Available","extra":{"deep":[1,2.50]}}"#;
        let response = joined_response(&[agent(row), agent(&row.replace('1', "3"))]).unwrap();
        assert_eq!(response["count"], 2);
        assert_eq!(response["next"], Value::Null);
        assert_eq!(response["previous"], Value::Null);
        assert_eq!(response["results"][0]["extra"]["deep"][1], 2.5);
        assert_eq!(response["results"][1]["app_user"], 3);
    }

    #[test]
    fn without_agents_is_an_empty_list_with_a_count() {
        let empty = json!({"count": 0, "next": null, "previous": null, "results": []});
        assert_eq!(joined_response::<Agent>(&[]).unwrap(), empty);
    }
}
