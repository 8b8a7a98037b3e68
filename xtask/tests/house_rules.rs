//! The repository's own rules; each failure names the remedy.

#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test, also in its helpers")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use flaskblog_api::{Child, OwnedKind, conditions::reasons};
use operator::monitoring;
use serde_json::{Value, json};
use xtask::{CODEGEN, generated, root};

/// Longest Rust file, in lines: a longer one has two purposes.
const FILE_LIMIT: usize = 400;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", ".git", ".cache", "node_modules"].contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

fn all_files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found.retain(|path| path.extension().is_some_and(|is| is == extension));
    assert!(!found.is_empty(), "no .{extension} file was found");
    found
}

#[test]
fn generated_files_are_what_the_generator_says() {
    for file in generated().unwrap() {
        assert_eq!(read(file.path), file.content, "{} is out of date; run: {CODEGEN}", file.path);
    }
}

#[test]
fn no_rust_file_holds_two_jobs() {
    for path in all_files("rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= FILE_LIMIT,
            "{} has {lines} lines, the limit is {FILE_LIMIT}: split it",
            path.display()
        );
    }
}

#[test]
fn every_path_that_the_map_names_exists() {
    let map = read("ARCHITECTURE.md");
    let named = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('/') && !word.contains([' ', '<', ':', '*', '{']));
    let mut count = 0;
    for path in named {
        count += 1;
        assert!(
            root().join(path.trim_start_matches('/')).exists() || path.starts_with('/'),
            "ARCHITECTURE.md names {path}"
        );
    }
    assert!(count > 10, "the map names only {count} paths");
}

#[test]
fn every_reason_is_explained_to_the_user() {
    let page = read("docs/conditions.md");
    for reason in reasons::ALL {
        assert!(page.contains(&format!("`{reason}`")), "docs/conditions.md doesn't explain {reason}");
    }
}

/// The module of a unit test, or a file with only tests.
fn tests_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let is_test = path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
    if is_test {
        text
    } else {
        text.split_once("#[cfg(test)]").map_or(String::new(), |(_, tests)| tests.to_owned())
    }
}

#[test]
fn every_reason_occurs_in_a_test() {
    let is_operators = |path: &PathBuf| {
        let path = path.strip_prefix(root()).unwrap().to_path_buf();
        ["operator/src", "operator/tests", "e2e/tests"].iter().any(|folder| path.starts_with(folder))
    };
    let tests: String =
        all_files("rs").iter().filter(|path| is_operators(path)).map(|path| tests_of(path)).collect();
    for reason in reasons::ALL {
        assert!(
            tests.contains(&format!("\"{reason}\"")),
            "no test of the operator expects the reason {reason}"
        );
    }
}

/// Reasons without a remedy by a command, and why.
const WITHOUT_A_COMMAND: &[(&str, &[&str])] = &[
    ("all is well", &["Ready", "Available", "Migrated", "Healthy", "Reconciled", "Monitored", "Recommended"]),
    (
        "it ends by itself, or as PodFailing or another reason that has one",
        &[
            "RollingOut",
            "DatabaseStarting",
            "MigrationPending",
            "Unavailable",
            "Resizing",
            "RecommendationPending",
        ],
    ),
    ("as the spec asks", &["ScaledToZero", "Hibernated", "Hibernating", "Resuming", "Suspended"]),
    (
        "tried again, and ended by the API server or the node alone",
        &["ApiError", "Timeout", "CertificateFailed"],
    ),
    ("a defect of the operator, which a release ends", &["Panicked"]),
    (
        "installing the definitions ends it, see tests/late_kinds",
        &["MonitoringUnavailable", "RecommenderUnavailable"],
    ),
];

#[test]
fn commands_of_every_failing_reason_are_run_in_a_test() {
    let folder = root().join("operator/tests/apiserver");
    let advice = all_files("rs").into_iter().filter(|path| {
        path.parent() == Some(&folder)
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("advice"))
    });
    let sources: Vec<String> = advice.map(|path| fs::read_to_string(path).unwrap()).collect();
    let follows = |test: &&str| test.contains("follow(") || test.contains("edit(");
    let tests: Vec<&str> =
        sources.iter().flat_map(|source| source.split("#[tokio::test]").skip(1)).filter(follows).collect();
    assert!(tests.len() > 10, "only {} tests follow a message", tests.len());
    let excused: Vec<&str> =
        WITHOUT_A_COMMAND.iter().flat_map(|(_, reasons)| reasons.iter().copied()).collect();
    for reason in &excused {
        assert!(reasons::ALL.contains(reason), "{reason} is no reason any more");
    }
    for reason in reasons::ALL {
        let is_followed = tests.iter().any(|test| test.contains(&format!("\"{reason}\"")));
        assert!(
            is_followed || excused.contains(reason),
            "no test in {} runs the commands of {reason}'s message",
            folder.display()
        );
    }
}

#[test]
fn every_child_is_on_the_page_that_says_when_it_is_touched() {
    let page = read("docs/reconcile.md");
    for role in Child::ALL {
        let row = format!("| {} `{}` |", role.kind().api_resource().kind, role.name("x"));
        assert!(page.contains(&row), "docs/reconcile.md has no row {row}");
    }
}

fn all_sources() -> String {
    all_files("rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_test_that_the_map_names_exists() {
    let sources = all_sources();
    let map = read("ARCHITECTURE.md");
    let names: Vec<&str> = map
        .lines()
        .filter(|line| line.contains("Kept by"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() >= 8, "only {} tests are named beside the invariants", names.len());
    for name in names {
        assert!(
            sources.contains(&format!("fn {name}(")),
            "ARCHITECTURE.md names a test {name} that doesn't exist"
        );
    }
}

/// The tests that the last column of a page's tables names.
fn tests_named_in_tables(page: &str) -> Vec<String> {
    page.lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|row| row.rsplit(" | ").next().map(str::to_owned))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| !name.contains(['/', ' ']))
        .collect()
}

#[test]
fn every_test_that_the_pages_of_pains_and_of_stages_name_exists() {
    let sources = all_sources();
    for (page, least) in [("docs/pains.md", 50), ("docs/stages.md", 10)] {
        let names = tests_named_in_tables(&read(page));
        assert!(names.len() >= least, "{page} names only {} tests", names.len());
        for name in names {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "{page} names a test {name} that doesn't exist"
            );
        }
    }
}

#[test]
fn every_pain_names_its_test_or_has_none() {
    let page = read("docs/pains.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| pain ")).collect();
    assert!(rows.len() > 40, "only {} rows", rows.len());
    for row in rows {
        let last = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        assert!(
            last.starts_with('`') || ["no test", "the bench"].iter().any(|it| last.starts_with(it)),
            "{row}"
        );
    }
}

#[test]
fn every_page_of_the_documentation_is_reached_from_its_start() {
    let start = read("docs/README.md") + &read("docs/stages.md");
    for page in fs::read_dir(root().join("docs")).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        let is_page = name.ends_with(".md") && name != "README.md";
        assert!(!is_page || start.contains(&name), "docs/{name} is on no page");
    }
}

/// (group, resource) and the verbs on it.
type Rights = BTreeMap<(String, String), BTreeSet<String>>;

fn rights(rules: &Value) -> Rights {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Rights::new();
    for rule in rules.as_array().unwrap() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.entry((group.clone(), resource)).or_default().extend(texts(&rule["verbs"]));
            }
        }
    }
    rights
}

/// What the code uses: the verbs of `observe.rs`, `apply.rs`, `controller.rs`, `events.rs` and `status/`.
fn used() -> Rights {
    let mut rules = vec![
        json!({"apiGroups": ["flaskblog.dev"], "resources": ["flaskblogs"], "verbs": ["list", "watch"]}),
        json!({"apiGroups": ["flaskblog.dev"], "resources": ["flaskblogs/status"], "verbs": ["patch"]}),
        json!({"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get", "list", "watch", "patch"]}),
        json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "patch", "delete"]}),
        json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["list", "create", "patch"]}),
    ];
    for kind in OwnedKind::ALL {
        let resource = kind.api_resource();
        let mut verbs = vec!["get", "list", "watch", "create", "patch"];
        if kind.is_optional() {
            verbs.push("delete");
        }
        rules.push(json!({"apiGroups": [resource.group], "resources": [resource.plural], "verbs": verbs}));
    }
    rights(&json!(rules))
}

#[test]
fn the_charts_rights_are_exactly_what_the_owned_kinds_need() {
    let rules: Value = serde_yaml::from_str(&read("charts/operator/files/rules.yaml")).unwrap();
    assert_eq!(rights(&rules), used());
    assert!(!rules.to_string().contains('*'));
}

#[test]
fn charts_install_no_webhook() {
    let mut charts = Vec::new();
    files(&root().join("charts"), &mut charts);
    assert!(charts.len() > 20, "{charts:?}");
    for path in charts {
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains("WebhookConfiguration"), "{} installs a webhook", path.display());
    }
}

#[test]
fn crd_outlives_its_chart() {
    let crd =
        generated().unwrap().into_iter().find(|file| file.path.starts_with("charts/operator/")).unwrap();
    let keep = "{{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n";
    assert!(crd.content.contains(keep), "{}", crd.path);
    let values: Value = serde_yaml::from_str(&read("charts/operator/values.yaml")).unwrap();
    assert_eq!(values["crds"]["keep"], true);
}

/// Names of all metrics in a text of PromQL.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| ["blog_", "flaskblog_", "kubelet_"].iter().any(|start| word.starts_with(start)))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn every_metric_and_alert_that_is_used_is_on_the_page_of_monitoring() {
    let page = read("docs/monitoring.md");
    let blog = monitoring::Subject { namespace: "press", name: "daily" };
    let alerts: Vec<_> =
        monitoring::blog_alerts(&blog, 2, true).into_iter().chain(monitoring::operator_alerts()).collect();
    let dashboards = [monitoring::blog_dashboard(&blog, true), monitoring::operator_dashboard()];
    let mut names: BTreeSet<String> = alerts.iter().flat_map(|alert| metrics_in(&alert.expr)).collect();
    for dashboard in &dashboards {
        names.extend(monitoring::expressions(dashboard, "1m").iter().flat_map(|(_, expr)| metrics_in(expr)));
    }
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "docs/monitoring.md doesn't explain {name}");
    }
    for alert in alerts {
        let row = format!("| [{0}](runbooks/{0}.md) | {1} |", alert.name, alert.severity);
        assert!(page.contains(&row), "docs/monitoring.md has no row {row}");
    }
}

#[test]
fn charts_and_workspace_have_one_version() {
    for chart in ["operator", "flask-blog"] {
        let meta: Value = serde_yaml::from_str(&read(&format!("charts/{chart}/Chart.yaml"))).unwrap();
        for key in ["version", "appVersion"] {
            assert_eq!(meta[key], env!("CARGO_PKG_VERSION"), "charts/{chart}/Chart.yaml: {key}");
        }
    }
}
