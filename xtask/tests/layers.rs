//! Imports point downwards: a top module of a crate imports only modules below it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ItemMod, ItemUse, Macro, Meta, UseTree,
    visit::{self, Visit},
};
use xtask::root;

/// The top modules of a crate, highest first.
struct Layers {
    source: &'static str,
    modules: &'static [&'static str],
}

const OPERATOR: Layers = Layers {
    source: "operator/src",
    modules: &[
        "cli",
        "controller",
        "reconcile",
        "context",
        "cache",
        "monitoring",
        "k8s",
        "telemetry",
        "model",
    ],
};

const BLOG_APP: Layers = Layers {
    source: "blog-app/src",
    modules: &[
        "cli",
        "server",
        "router",
        "routes",
        "middleware",
        "extract",
        "state",
        "error",
        "cache",
        "security",
        "telemetry",
        "html",
        "store",
        "db",
        "config",
    ],
};

/// They connect all layers, so each of them imports what it needs.
const EXEMPT: [&str; 2] = ["main.rs", "lib.rs"];

impl Layers {
    fn problems(&self) -> Vec<String> {
        let folder = root().join(self.source);
        let found: BTreeSet<String> = entries(&folder).iter().filter_map(|path| top_module(path)).collect();
        let mut problems = unlisted(self.modules, &found);
        for path in rust_files(&folder) {
            let file = path.strip_prefix(&folder).unwrap();
            let content = fs::read_to_string(&path).unwrap();
            problems.extend(upward_edges(self.modules, file, &content));
        }
        problems
    }
}

/// Differences between the list and the modules of the crate.
fn unlisted(listed: &[&str], found: &BTreeSet<String>) -> Vec<String> {
    let missing = found.iter().filter(|name| !listed.contains(&name.as_str()));
    let gone = listed.iter().filter(|name| !found.contains(**name));
    missing
        .map(|name| format!("top module {name} isn't in the list of layers"))
        .chain(gone.map(|name| format!("the list of layers names {name}, which is no top module")))
        .collect()
}

/// Imports that don't point downwards, one message each.
fn upward_edges(modules: &[&str], file: &Path, content: &str) -> Vec<String> {
    let Some(importer) = file.iter().next().and_then(|first| top_module(Path::new(first))) else {
        return Vec::new();
    };
    let rank = |module: &str| modules.iter().position(|listed| *listed == module);
    let judge = |imported: String| match rank(&imported) {
        _ if imported == importer => None,
        None => Some(format!("{}: {importer} imports {imported}, which is no top module", file.display())),
        above if above < rank(&importer) => {
            Some(format!("{}: {importer} imports {imported}, which stands above it", file.display()))
        }
        Some(_) => None,
    };
    imported_modules(file, content).into_iter().filter_map(judge).collect()
}

/// Name of the top module, from a file or folder at the top of the crate.
fn top_module(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    (!EXEMPT.contains(&name)).then(|| name.trim_end_matches(".rs").to_owned())
}

fn imported_modules(file: &Path, content: &str) -> BTreeSet<String> {
    let syntax = syn::parse_file(content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let depth = file.iter().count() - usize::from(file.ends_with("mod.rs"));
    let mut imports = Imports { depth, modules: BTreeSet::new() };
    imports.visit_file(&syntax);
    imports.modules
}

/// Collects the top modules that a file's paths lead to.
struct Imports {
    /// Number of modules between the crate's root and the current position.
    depth: usize,
    modules: BTreeSet<String>,
}

impl Imports {
    /// Adds a path from the crate's root, or up to it with `super`.
    fn add(&mut self, path: &[String]) {
        let path = if path.first().is_some_and(|first| first == "self") { &path[1..] } else { path };
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let from_root = match path.first() {
            Some(first) if first == "crate" => path.get(1),
            Some(_) if ups > 0 && ups == self.depth => path.get(ups),
            _ => None,
        };
        self.modules.extend(from_root.filter(|name| *name != "self").cloned());
    }

    fn add_tree(&mut self, mut prefix: Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_tree(prefix, &path.tree);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.add_tree(prefix.clone(), item));
            }
            leaf => {
                prefix.push(match leaf {
                    UseTree::Name(name) => name.ident.to_string(),
                    UseTree::Rename(rename) => rename.ident.to_string(),
                    _ => "*".to_owned(),
                });
                self.add(&prefix);
            }
        }
    }

    /// The tokens of macros aren't parsed, so `crate` is searched in them.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(word) if word == "crate" => self.add_after_crate(&tokens[at + 1..]),
                _ => {}
            }
        }
    }

    fn add_after_crate(&mut self, rest: &[TokenTree]) {
        let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':');
        let names: Vec<String> = match rest {
            [first, second, TokenTree::Ident(name), ..] if is_colon(first) && is_colon(second) => {
                vec![name.to_string()]
            }
            [first, second, TokenTree::Group(group), ..] if is_colon(first) && is_colon(second) => {
                let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
                let items =
                    tokens.split(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ','));
                items.filter_map(|item| item.first().map(ToString::to_string)).collect()
            }
            _ => Vec::new(),
        };
        for name in names {
            self.add(&["crate".to_owned(), name]);
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&segments);
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, module);
        self.depth -= 1;
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.add_tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|is| is == "rs"))
        .collect();
    paths.sort();
    paths
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let nested = |path: PathBuf| if path.is_dir() { rust_files(&path) } else { vec![path] };
    entries(folder).into_iter().flat_map(nested).collect()
}

#[test]
fn operator_imports_point_downwards() {
    let problems = OPERATOR.problems();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn blog_app_imports_point_downwards() {
    let problems = BLOG_APP.problems();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn upward_edges_of_a_made_up_source_are_found() {
    let source = "
        use std::fmt;
        use crate::{config::Env, routes::{self, posts}, store::{self, users}};
        use super::super::server as front;
        use super::pool::Pool;
        #[arg(value_parser = crate::router::parse)]
        struct Args;
        macro_rules! read { () => { $crate::state::read() } }
        fn make() -> crate::db::Row { tracing::info!(cause = crate::error::chain(), \"made\"); crate::cli::run() }
        mod tests { use super::super::super::html; use super::super::users; }
    ";
    let edges = upward_edges(BLOG_APP.modules, Path::new("store/posts.rs"), source);
    let imported = ["cli", "error", "html", "router", "routes", "server", "state"];
    let expected = imported.map(|it| format!("store/posts.rs: store imports {it}, which stands above it"));
    assert_eq!(edges, expected);
}

#[test]
fn downward_and_own_imports_are_no_edges() {
    let source = "use crate::{html, routes::auth}; use super::posts; fn f() { crate::config::env(); }";
    assert!(upward_edges(BLOG_APP.modules, Path::new("routes/editor.rs"), source).is_empty());
    assert!(upward_edges(BLOG_APP.modules, Path::new("lib.rs"), "use crate::cli;").is_empty());
}

#[test]
fn import_past_the_top_modules_is_reported() {
    for source in ["use crate::*;", "use crate::SUPPORTED_SCHEMA;"] {
        let problems = upward_edges(BLOG_APP.modules, Path::new("state.rs"), source);
        assert!(problems[0].ends_with("which is no top module"), "{problems:?}");
    }
}

#[test]
fn top_module_missing_from_the_list_is_reported() {
    let found = ["cli", "config", "shelf"].map(str::to_owned).into();
    let problems = unlisted(&["cli", "config", "db"], &found);
    assert_eq!(
        problems,
        [
            "top module shelf isn't in the list of layers",
            "the list of layers names db, which is no top module"
        ]
    );
}
