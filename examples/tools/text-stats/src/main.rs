// SPDX-License-Identifier: Apache-2.0

//! text-stats: {"text": "…", "top": 5} on standard input, counts on standard output.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::process::exit;

use tinyjson::JsonValue;

const TOP: usize = 10;

fn main() {
    if let Err(why) = run() {
        eprintln!("text-stats: {}", why);
        exit(1);
    }
}

fn run() -> Result<(), String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    let input: JsonValue = text.parse().map_err(|e: tinyjson::JsonParseError| e.to_string())?;
    let members: &HashMap<String, JsonValue> = input.get().ok_or("not an object")?;
    let text: &String = members.get("text").and_then(|v| v.get()).ok_or("text: not a string")?;
    let top = match members.get("top") {
        None => TOP,
        Some(v) => *v.get::<f64>().ok_or("top: not a number")? as usize,
    };
    let out = statistics(text, top).stringify().map_err(|e| e.to_string())?;
    writeln!(io::stdout(), "{}", out).map_err(|e| e.to_string())
}

fn statistics(text: &str, top: usize) -> JsonValue {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut words = 0;
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’') {
        let word = word.trim_matches(|c| c == '\'' || c == '’');
        if !word.is_empty() {
            words += 1;
            *counts.entry(word.to_lowercase()).or_insert(0) += 1;
        }
    }
    let mut most: Vec<(String, usize)> = counts.into_iter().collect();
    most.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let most = most.into_iter().take(top).map(|(word, count)| {
        object(vec![("word", JsonValue::String(word)), ("count", number(count))])
    });
    object(vec![
        ("lines", number(text.lines().count())),
        ("sentences", number(sentences(text))),
        ("words", number(words)),
        ("characters", number(text.chars().count())),
        ("top", JsonValue::Array(most.collect())),
    ])
}

/// Runs of text that end with a mark; "?!" and "..." end one, not several.
fn sentences(text: &str) -> usize {
    text.split(|c| matches!(c, '.' | '!' | '?' | '…'))
        .filter(|s| s.chars().any(char::is_alphanumeric))
        .count()
}

fn number(n: usize) -> JsonValue {
    JsonValue::Number(n as f64)
}

fn object(members: Vec<(&str, JsonValue)>) -> JsonValue {
    JsonValue::Object(members.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
}
