//! `[[server.client]]`: more callers, each with its own token and no more rights than it needs.

use std::sync::Arc;

use toml::de::DeValue;

use super::{
    Client, May, keys,
    place::name_table,
    section::Section,
    source::{Checked, all},
    value::{Value, refuse_repeats},
};

/// Reads every `[[server.client]]`.
pub(super) fn clients(server: &Section<'_>) -> Checked<Vec<Client>> {
    let sections = server.tables("client", &keys::CLIENT, |table, number| {
        name_table("client", table, "name", number)
    })?;
    let names = sections.iter().filter_map(|section| section.value("name"));
    let names = names.filter_map(|name| Some((name.as_text()?, name)));
    let unique = refuse_repeats(names, |line| {
        format!("is the one of line {line} again; every client needs a name of its own")
    });
    let clients = all(sections.iter().map(client))?;
    let useless = match (sections.first(), server.value("bearer_token_file")) {
        (Some(first), None) => Err(first.wrong(
            "needs bearer_token_file in [server]: without it everybody may ask, so a client's token restricts nothing",
        )),
        _ => Ok(()),
    };
    unique.and(useless).map(|()| clients)
}

fn client(section: &Section<'_>) -> Checked<Client> {
    let name = section.required("name", Value::name);
    let token_file = section.required("token_file", Value::secret_path);
    let queues = section.optional("queues", queues);
    let may = section.optional("may", |value| value.one_of::<May>());
    let in_url = section.optional("in_url", Value::flag);
    Ok(Client {
        name: name?.into(),
        token_file: token_file?,
        queues: queues?,
        may: may?.unwrap_or_default(),
        in_url: in_url?.unwrap_or_default(),
    })
}

/// Names or ids of queues, or `account/queue`. They can be resolved once CallTools has listed the account's queues.
pub(super) fn queues(value: &Value<'_>) -> Checked<Arc<[Box<str>]>> {
    let queue = |node: &DeValue<'_>| match node {
        DeValue::String(name) if !name.trim().is_empty() => Some(name.trim().into()),
        DeValue::Integer(id) => Some(id.as_str().into()),
        _ => None,
    };
    let DeValue::Array(nodes) = value.node() else {
        return Err(value.not_a("a list of queues"));
    };
    let queues: Option<Arc<[Box<str>]>> = nodes.iter().map(|node| queue(node.get_ref())).collect();
    match queues {
        Some(queues) if !queues.is_empty() => Ok(queues),
        Some(_) => Err(value.wrong("is an empty list; name a queue, or leave it out for all")),
        None => {
            Err(value.wrong("must have names or ids of queues, such as [\"sales-queue\", 5450]"))
        }
    }
}
