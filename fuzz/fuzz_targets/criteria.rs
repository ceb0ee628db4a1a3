//! A path in the first line and a response in the rest: a rule, compiled and measured.
#![no_main]

use libfuzzer_sys::fuzz_target;
use openseat::decision::criteria::{Condition, Criteria, Definition, Literal};

fuzz_target!(|text: &str| {
    let (field, response) = text.split_once('\n').unwrap_or((text, ""));
    let definition = Definition {
        field: field.to_owned(),
        measure: None,
        condition: Condition::GreaterThan,
        value: Some(Literal::Number(0_u32.into())),
    };
    let Ok(criteria) = Criteria::compile(&definition) else {
        return;
    };
    // What CallTools sends is not nested deeper than serde_json reads, either.
    if let Ok(response) = serde_json::from_str(response) {
        let _ = criteria.measure(&response);
    }
});
