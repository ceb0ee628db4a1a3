use std::path::Path;

use super::*;

fn config() -> Config {
    let account = |name: &str, queues: &[&str]| {
        let queues: String = queues
            .iter()
            .map(|queue| format!("[[account.queue]]\nqueue = {queue:?}\n"))
            .collect();
        format!(
            "[[account]]\nname = {name:?}\nsilo = \"east-1\"\ntoken_env = \"T_{}\"\n{queues}",
            name.to_uppercase()
        )
    };
    let text = account("main", &["sales-queue", "support", "5450"])
        + &account("lab", &["support", "Zoë's"]);
    Config::parse(&text, Path::new("openseat.toml"), &|_| None).expect("a valid config")
}

fn selected(asked: &[&str]) -> Result<Vec<String>, String> {
    let asked: Vec<String> = asked.iter().map(|&asked| asked.to_owned()).collect();
    let config = config();
    let targets = select(&config, &asked).map_err(|unknown| unknown.to_string())?;
    let keys = targets.iter().flat_map(|target| {
        let queues = target.queues.iter();
        queues.map(|(queue, _)| target.key(queue).to_string())
    });
    Ok(keys.collect())
}

#[test]
fn queues_are_selected_by_their_spellings() {
    let all = [
        "main/sales-queue",
        "main/support",
        "main/5450",
        "lab/support",
        "lab/Zoë's",
    ];
    for (asked, expected) in [
        (&[] as &[&str], &all as &[&str]),
        (&["5450"], &["main/5450"]),
        (&["support"], &["main/support", "lab/support"]),
        (&["lab/support"], &["lab/support"]),
        // In the order of the config, each once.
        (
            &["support", "sales-queue", "main/support"],
            &["main/sales-queue", "main/support", "lab/support"],
        ),
    ] {
        let expected: Vec<_> = expected.iter().map(|&key| key.to_owned()).collect();
        assert_eq!(selected(asked), Ok(expected), "{asked:?}");
    }
}

#[test]
fn a_misspelt_queue_gets_its_nearest_spellings_and_the_list() {
    let list = "configured are main/sales-queue, main/support, main/5450, lab/support, lab/Zoë's";
    for (asked, expected) in [
        (
            "Sales-Queue",
            "no queue \"Sales-Queue\" is configured; did you mean sales-queue?",
        ),
        (
            "main/suport",
            "no queue \"main/suport\" is configured; did you mean main/support",
        ),
        (
            "sales-queue ",
            "no queue \"sales-queue \" is configured; did you mean sales-queue?",
        ),
        ("xyz", "no queue \"xyz\" is configured\n"),
        ("\x1b[2J", "no queue \"\\u{1b}[2J\" is configured\n"),
    ] {
        let error = selected(&[asked, "support"]).expect_err(asked);
        assert!(error.starts_with(expected), "{error}");
        assert!(error.ends_with(list), "{error}");
    }
}
