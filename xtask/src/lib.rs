//! Generated files, and the check that they are up to date.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use operator::{
    model::settings::{Cli, Command, RUNBOOKS},
    monitoring::{Subject, blog_alerts, groups, operator_alerts, operator_dashboard},
};

/// The command that regenerates all files.
pub const CODEGEN: &str = "cargo xtask codegen";

/// A generated file: its path in the repository and its content.
#[derive(Debug)]
pub struct Generated {
    /// Relative to the root of the repository.
    pub path: &'static str,
    /// Expected content.
    pub content: String,
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Generates all files in memory.
///
/// # Errors
///
/// Fails if a CRD can't be serialized.
pub fn generated() -> Result<Vec<Generated>> {
    let crd = operator::cli::crds::yaml().context("failed to write the CRD as YAML")?;
    Ok(vec![
        Generated { path: "charts/operator/templates/crds/flaskblogs.yaml", content: chart_template(&crd) },
        Generated { path: "crds/flaskblogs.flaskblog.dev.yaml", content: crd },
        Generated { path: "deploy/kustomize/base/blog.yaml", content: standalone_blog()? },
        Generated { path: "charts/operator/files/alerts.yaml", content: operator_rules()? },
        Generated {
            path: "charts/operator/files/dashboard.json",
            content: format!("{:#}\n", operator_dashboard()),
        },
        Generated { path: "dev/prometheus/rules/blog.yaml", content: blog_rules()? },
    ])
}

/// The sample blog without an operator and without its Secrets, which no repository should hold.
fn standalone_blog() -> Result<String> {
    let file = root().join("blog.yaml").display().to_string();
    let arguments = ["operator", "render", "--filename", &file, "--without-secrets"];
    let Command::Render(arguments) = Cli::try_parse_from(arguments).context("`operator render`")?.command
    else {
        bail!("`operator render` is another command");
    };
    operator::cli::plan::render(&arguments).context("failed to render blog.yaml")
}

fn operator_rules() -> Result<String> {
    let rules = groups("flaskblog-operator", &operator_alerts(), None, RUNBOOKS);
    operator::cli::crds::yaml_document(&rules).context("failed to write the operator's alerts as YAML")
}

/// The alerts of a blog, which `dev/prometheus-rules.sh` tests.
fn blog_rules() -> Result<String> {
    let blog = Subject { namespace: "press", name: "daily" };
    let rules = groups("flaskblog-daily", &blog_alerts(&blog, 2, true), Some(&blog), RUNBOOKS);
    operator::cli::crds::yaml_document(&rules).context("failed to write a blog's alerts as YAML")
}

/// The CRD as a chart template, installed and upgraded with the chart.
///
/// It is kept on uninstall, since deleting a CRD deletes every blog.
fn chart_template(crd: &str) -> String {
    let annotations =
        "  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n";
    let labels = "  labels:\n    {{- include \"operator.labels\" . | nindent 4 }}\n";
    let body = crd.replacen("metadata:\n", &format!("metadata:\n{annotations}{labels}"), 1);
    format!("{{{{- if .Values.crds.enabled }}}}\n{body}{{{{- end }}}}\n")
}

/// Writes the generated files; returns those that changed.
///
/// # Errors
///
/// Fails if a file can't be written.
pub fn codegen() -> Result<Vec<&'static str>> {
    let mut changed = Vec::new();
    for file in generated()? {
        let path = root().join(file.path);
        if fs::read_to_string(&path).is_ok_and(|current| current == file.content) {
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        }
        fs::write(&path, &file.content).with_context(|| format!("failed to write {}", file.path))?;
        changed.push(file.path);
    }
    Ok(changed)
}
