//! The answers as JSON, and their schemas.
//!
//! Answers contain these types as they are, and [`schemars`] makes their schemas for the OpenAPI document from the same definitions. Their names end
//! in `Json`, which the document drops. They are built from plain values and know nothing of the server.

pub mod account;
pub mod call;
pub mod cluster;
pub mod decision;
pub mod fault;
pub mod feed;
pub mod history;
pub mod queue;
pub mod reservation;
pub mod soon;
pub mod time;

/// Defines a type that is only a schema, for JSON that is read or written without a type of its own.
macro_rules! shape {
    ($(#[$docs:meta])* $name:ident, $schema:tt) => {
        $(#[$docs])*
        pub(in crate::server) enum $name {}

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(super) use shape;
