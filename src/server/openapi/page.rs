//! The reference page at `/docs`: the OpenAPI document for people. It needs no script and loads nothing.

use std::{fmt::Write, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;
use sha2::{Digest, Sha256};
use strum::VariantArray;

use super::{Document, Operation, Tag, document::schema_of, path_parameter};
use crate::server::http::{
    params::Parameter,
    problem_types::{self, ProblemType},
};

/// The style, inside the page, so that a browser loads nothing else.
const STYLE: &str = include_str!("style.css");

/// Allows a browser to show the page with this style, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).expect("base64 fits a header")
});

/// The policy, as a header.
pub(in crate::server) fn policy() -> (HeaderName, HeaderValue) {
    (header::CONTENT_SECURITY_POLICY, POLICY.clone())
}

/// A whole page.
pub(super) fn shell(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// Text as HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
    html
}

/// Renders our own texts as HTML: text between backquotes is code, an empty line begins a paragraph.
fn prose(text: &str) -> String {
    let mut html = String::new();
    for (place, part) in text.split('`').enumerate() {
        let part = escaped(part).replace("\n\n", "</p>\n<p>");
        let _ = match place % 2 {
            0 => write!(html, "{part}"),
            _ => write!(html, "<code>{part}</code>"),
        };
    }
    html
}

/// The whole reference page.
pub(in crate::server) fn page(document: &Document, operations: &[Operation]) -> String {
    let mut body = String::from("<a class=\"skip\" href=\"#reference\">To the reference</a>\n");
    body += &format!(
        "<header>\n<h1>openseat {}</h1>\n<p>{}</p>\n<p>For programs: <a href=\"openapi.json\">openapi.json</a>.</p>\n</header>\n",
        env!("CARGO_PKG_VERSION"),
        prose(text(&document.value["info"]["description"])),
    );
    let listed: Vec<&Operation> = operations
        .iter()
        .filter(|one| !one.is_by_account())
        .collect();
    body += &contents(&listed);
    body += "<main id=\"reference\" tabindex=\"-1\">\n";
    for &tag in Tag::VARIANTS {
        let _ = write!(
            body,
            "<h2>{}</h2>\n<p>{}</p>\n",
            tag.name(),
            prose(tag.meaning())
        );
        for operation in listed.iter().filter(|one| one.tag == tag) {
            body += &section(operation, document);
        }
    }
    body += &problems();
    body += &schemas(document);
    body += "</main>\n";
    shell("openseat: reference", &body)
}

fn contents(operations: &[&Operation]) -> String {
    let item = |one: &&Operation| {
        format!(
            "<li><a href=\"#{}\"><code>{} {}</code></a></li>\n",
            one.id,
            one.method(),
            escaped(one.path())
        )
    };
    let items: String = operations.iter().map(item).collect();
    format!(
        "<nav aria-label=\"Contents\">\n<ul>\n{items}<li><a href=\"#problems\">Problems</a></li>\n\
         <li><a href=\"#shapes\">Shapes</a></li>\n</ul>\n</nav>\n"
    )
}

fn section(operation: &Operation, document: &Document) -> String {
    let method = operation.method().as_str();
    let described = &document.value["paths"][operation.path()][method.to_lowercase()];
    let mut html = format!(
        "<section id=\"{}\">\n<h3><code><span class=\"method\">{method}</span> {}</code></h3>\n<p>{}</p>\n",
        operation.id,
        escaped(operation.path()),
        prose(&sentence(operation.summary)),
    );
    if !operation.more.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", prose(operation.more));
    }
    html += &parameters(operation);
    if let Some(body) = operation.body {
        let _ = write!(html, "<h4>Body</h4>\n{}", example(body.media, body.example));
    }
    html += "<h4>Answers</h4>\n";
    let responses = described["responses"].as_object();
    let rows = responses.into_iter().flatten().map(|(status, response)| {
        let class = if status.starts_with('2') {
            "good"
        } else {
            "bad"
        };
        [
            format!("<strong class=\"{class}\">{status}</strong>"),
            format!(
                "<p>{}</p>{}",
                prose(text(&response["description"])),
                shape_of(response)
            ),
        ]
    });
    html += &table(["status", "when"], rows);
    for answer in &operation.answers {
        if let Some(content) = answer.content.filter(|_| answer.status < 300) {
            html += &example(content.media, content.example);
        }
    }
    html += "</section>\n";
    html
}

/// Turns a summary, which is a line of a list, into a sentence.
fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str() + "."
}

fn parameters(operation: &Operation) -> String {
    let in_path = operation.path_parameters().map(|name| {
        let (meaning, example) = path_parameter(name);
        [
            code(name),
            format!(
                "{}. In the path, such as {}.",
                prose(meaning),
                code(example)
            ),
        ]
    });
    let given = |place: &'static str| {
        move |one: &Parameter| {
            [
                code(one.name),
                format!(
                    "{}. In the {place}, such as {}; {}.",
                    prose(one.meaning),
                    code(one.example),
                    escaped(&kind_of(&schema_of(one.shape)))
                ),
            ]
        }
    };
    let in_query = operation.query.iter().map(given("query"));
    let in_headers = operation.headers.iter().map(given("header"));
    let rows: Vec<_> = in_path.chain(in_query).chain(in_headers).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("<h4>Parameters</h4>\n{}", table(["name", "meaning"], rows))
}

/// Links to the schemas of an answer's bodies.
fn shape_of(response: &Value) -> String {
    let contents = response["content"].as_object();
    let link = |(media, content): (&String, &Value)| {
        let shape = content["schema"]["$ref"]
            .as_str()
            .and_then(|path| path.rsplit('/').next());
        match shape {
            Some(shape) => format!("{}: <a href=\"#shape-{shape}\">{shape}</a>", code(media)),
            None => code(media),
        }
    };
    let links: Vec<_> = contents.into_iter().flatten().map(link).collect();
    links.join("<br>")
}

fn problems() -> String {
    let row = |problem: &ProblemType| {
        [
            code(problem.name),
            format!(
                "{} {}: {}",
                problem.status.as_u16(),
                escaped(problem.title),
                prose(problem.meaning)
            ),
        ]
    };
    format!(
        "<h2 id=\"problems\">Problems</h2>\n<p>An answer's <code>type</code> is <code>urn:openseat:problem:</code> and one of these names.</p>\n{}",
        table(
            ["type", "status and meaning"],
            problem_types::ALL.iter().map(row)
        )
    )
}

fn schemas(document: &Document) -> String {
    let mut html = String::from("<h2 id=\"shapes\">Shapes</h2>\n");
    let schemas = document.value["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        let about = prose(text(&schema["description"]));
        let _ = write!(
            html,
            "<h3 id=\"shape-{name}\">{name}</h3>\n<p>{about}</p>\n"
        );
        html += &values(schema);
        html += &members(schema);
    }
    html
}

/// The values of a schema that lists them.
fn values(schema: &Value) -> String {
    let rows = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| [code(text(&one["const"])), prose(text(&one["description"]))]);
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    table(["value", "meaning"], rows)
}

/// The members of an object: required ones in the order of an answer, then optional ones.
fn members(schema: &Value) -> String {
    let Some(properties) = schema["properties"].as_object() else {
        return String::new();
    };
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    let optional = properties
        .keys()
        .map(|name| &**name)
        .filter(|name| !required.contains(name));
    let rows = required.iter().copied().chain(optional).map(|name| {
        let member = &properties[name];
        let may_be_missing = if required.contains(&name) {
            ""
        } else {
            "; may be missing"
        };
        [
            code(name),
            format!(
                "{}{may_be_missing}. {}",
                escaped(&kind_of(member)),
                prose(text(&member["description"]))
            ),
        ]
    });
    table(["member", "meaning"], rows)
}

/// The type of a value, in a few words.
fn kind_of(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(text).collect::<Vec<_>>().join(", ");
    }
    if schema["items"].is_object() {
        return format!("list of {}", kind_of(&schema["items"]));
    }
    let named = match &schema["type"] {
        Value::Array(several) => several.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one).to_owned(),
    };
    match schema["format"].as_str() {
        Some("date-time") => named.replace("string", "time"),
        _ => named.replace("string", "text"),
    }
}

fn table(heads: [&str; 2], rows: impl IntoIterator<Item = [String; 2]>) -> String {
    let rows = rows
        .into_iter()
        .map(|[one, other]| format!("<tr><td>{one}</td><td>{other}</td></tr>\n"));
    let rows: String = rows.collect();
    format!(
        "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        heads[0], heads[1]
    )
}

fn example(media: &str, example: &str) -> String {
    format!(
        "<details><summary>Example, {media}</summary>\n<pre tabindex=\"0\"><code>{}</code></pre></details>\n",
        escaped(example)
    )
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escaped(text))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
