//! The page at `/docs`: the document for people. It needs no script and asks nobody for anything.

use std::{fmt::Write, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Document, Operation, Tag, document::schema_of, path_parameter};
use crate::server::http::{
    params::Parameter,
    problem_types::{self, Kind},
};

/// The style of every page of ours, inside of the page: nothing else needs to be fetched.
const STYLE: &str = include_str!("style.css");

/// What a browser may do with such a page: show it with this very style, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!("default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'");
    HeaderValue::try_from(policy).expect("base64 fits a header")
});

/// The header of pages with our style.
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

/// Our own texts as HTML: what stands between backquotes is code, an empty line begins a paragraph.
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

/// The reference.
pub(in crate::server) fn page(document: &Document, operations: &[Operation]) -> String {
    let mut body = String::from("<a class=\"skip\" href=\"#reference\">To the reference</a>\n");
    body += &format!(
        "<header>\n<h1>openseat {}</h1>\n<p>{}</p>\n<p>For programs: <a href=\"openapi.json\">openapi.json</a>.</p>\n</header>\n",
        env!("CARGO_PKG_VERSION"),
        prose(text(&document.value["info"]["description"])),
    );
    let told: Vec<&Operation> = operations
        .iter()
        .filter(|one| !one.is_by_account())
        .collect();
    body += &contents(&told);
    body += "<main id=\"reference\" tabindex=\"-1\">\n";
    for tag in Tag::ALL {
        let _ = write!(
            body,
            "<h2>{}</h2>\n<p>{}</p>\n",
            tag.name(),
            prose(tag.means())
        );
        for operation in told.iter().filter(|one| one.tag == tag) {
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

/// A summary is a line of a list; here it stands alone.
fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str() + "."
}

fn parameters(operation: &Operation) -> String {
    let in_path = operation.path_parameters().map(|name| {
        let (means, example) = path_parameter(name);
        [
            code(name),
            format!("{}. In the path, such as {}.", prose(means), code(example)),
        ]
    });
    let given = |place: &'static str| {
        move |one: &Parameter| {
            [
                code(one.name),
                format!(
                    "{}. In the {place}, such as {}; {}.",
                    prose(one.means),
                    code(one.example),
                    escaped(&kind_of(&schema_of(one.shape)))
                ),
            ]
        }
    };
    let in_query = operation.query.iter().map(given("query"));
    let in_head = operation.headers.iter().map(given("head"));
    let rows: Vec<_> = in_path.chain(in_query).chain(in_head).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("<h4>Parameters</h4>\n{}", table(["name", "meaning"], rows))
}

/// Links to the shapes of an answer's bodies.
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
    let row = |kind: &Kind| {
        [
            code(kind.word),
            format!(
                "{} {}: {}",
                kind.status.as_u16(),
                escaped(kind.title),
                prose(kind.means)
            ),
        ]
    };
    format!(
        "<h2 id=\"problems\">Problems</h2>\n<p>An answer's <code>type</code> is <code>urn:openseat:problem:</code> and one of these words.</p>\n{}",
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
        html += &words(schema);
        html += &members(schema);
    }
    html
}

/// The words of a shape that has only so many.
fn words(schema: &Value) -> String {
    let rows = schema["oneOf"].as_array().into_iter().flatten().map(|one| {
        let word = text(&one["const"]);
        [code(word), prose(text(&one["description"]))]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    table(["word", "meaning"], rows)
}

/// The members of an object: those that are always there in the order of an answer, then the others.
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
        let left_out = if required.contains(&name) {
            ""
        } else {
            "; may be left out"
        };
        [
            code(name),
            format!(
                "{}{left_out}. {}",
                escaped(&kind_of(member)),
                prose(text(&member["description"]))
            ),
        ]
    });
    table(["member", "what"], rows)
}

/// What a value may be, in a few words.
fn kind_of(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(text).collect::<Vec<_>>().join(", ");
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
