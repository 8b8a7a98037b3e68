//! Counts words that the rules for prose in CONTRIBUTING.md ban. It lists each hit as `path:line: word: text`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::{Regex, RegexBuilder};
use xtask::root;

/// Programs don't speak, hear, ask, believe or sleep. Kubernetes and MySQL have exact words for what they do.
const BANNED: &str = r"\b(
    who|whoever|whom|somebody|someone|nobody|anyone|everybody|
    tells?|told|says?|said|hears?|heard|asks?|asked|looks?\sat|looked\sat|believes?|believed|
    mends?|mended|anew|strangers?|figures|asleep|sleeps|awake|wakes|
    made\sgood|goes\saway|is\sthere|it\sis\sup\sto
    )\b";

/// Hits that are known. It must only fall.
const ALLOWED: usize = 0;

/// Folders without prose of this project.
const SKIPPED_FOLDERS: [&str; 4] = ["target", ".git", ".cache", "node_modules"];

/// This file lists the words themselves. The scripts are inputs of cached images, which each changed comment builds again.
const SKIPPED_FILES: [&str; 9] = [
    "prose.rs",
    "debian.sh",
    "docker-entrypoint.sh",
    "dockerfile-check.sh",
    "mysql-image.sh",
    "node-image.sh",
    "optional-crds.sh",
    "pod-network.sh",
    "rootfs.sh",
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() && !SKIPPED_FILES.contains(&name.as_str()) {
            found.push(path);
        }
    }
}

/// Lines with prose, each with its number counted from 1.
fn prose<'a>(path: &Path, text: &'a str) -> Vec<(usize, &'a str)> {
    let lines = (1..).zip(text.lines());
    let starting_with = |mark: &str| -> Vec<(usize, &'a str)> {
        lines.clone().filter(|(_, line)| line.trim_start().starts_with(mark)).collect()
    };
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("rs") => starting_with("//"),
        Some("sh") => starting_with("#"),
        Some("yaml") if path.starts_with(root().join("charts")) => lines.collect(),
        Some("md") => outside_code_blocks(path, text),
        _ => Vec::new(),
    }
}

/// Lines of Markdown without code blocks. Of the changelog only the part that isn't released.
fn outside_code_blocks<'a>(path: &Path, text: &'a str) -> Vec<(usize, &'a str)> {
    let is_changelog = path.ends_with("CHANGELOG.md");
    let (mut is_code, mut releases) = (false, 0);
    let is_prose = |(_, line): &(usize, &str)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        releases += usize::from(line.starts_with("## "));
        let is_released = is_changelog && releases > 1;
        !(is_code || is_fence || is_released)
    };
    (1..).zip(text.lines()).filter(is_prose).collect()
}

/// The line without names of code, which stand between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("` `")
}

fn hits(path: &Path, text: &str, banned: &Regex) -> Vec<String> {
    let place = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let mut found = Vec::new();
    for (number, line) in prose(path, text) {
        for word in banned.find_iter(&without_code(line)) {
            found.push(format!("{place}:{number}: {}: {}", word.as_str(), line.trim()));
        }
    }
    found
}

fn banned() -> Regex {
    RegexBuilder::new(BANNED).case_insensitive(true).ignore_whitespace(true).unicode(false).build().unwrap()
}

#[test]
fn prose_has_no_more_banned_words_than_allowed() {
    let (mut paths, banned) = (Vec::new(), banned());
    files(&root(), &mut paths);
    paths.sort();
    let found: Vec<String> = paths
        .iter()
        .filter_map(|path| Some((path, fs::read_to_string(path).ok()?)))
        .flat_map(|(path, text)| hits(path, &text, &banned))
        .collect();
    let excess = found.len().saturating_sub(ALLOWED);
    assert_eq!(excess, 0, "{} banned words, {ALLOWED} are allowed:\n{}", found.len(), found.join("\n"));
}

#[test]
fn hits_in_comments_and_markdown_are_listed() {
    let found = |path: &str, text| hits(Path::new(path), text, &banned());
    assert_eq!(found("a.rs", "let told = 1;\n/// Is told twice: told.").len(), 2);
    assert_eq!(found("a.rs", "// Reads `asked` and the taller figure."), Vec::<String>::new());
    assert_eq!(found("a.md", "```\nwho\n```\nIt Says so."), ["a.md:4: Says: It Says so."]);
    assert_eq!(found("CHANGELOG.md", "## Unreleased\nsaid\n## 0.1.0\nsaid").len(), 1);
    assert_eq!(found("a.sh", "echo who # is told\n# is told").len(), 1);
}
