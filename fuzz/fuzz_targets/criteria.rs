//! Compiles the path in the first line to a rule, and measures the response in the other lines.
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
    // The program reads responses with serde_json too, so its limit of nesting applies in both.
    if let Ok(response) = serde_json::from_str(response) {
        let _ = criteria.measure(&response);
    }
});
