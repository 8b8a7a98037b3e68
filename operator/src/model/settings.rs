//! Settings of the command line and the environment.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand};

/// Runs Flaskr blogs with their MySQL databases on Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "operator",
    version,
    after_help = "Examples:
  operator run                                 watch every namespace, with the current kubeconfig or in the cluster
  operator run --watch-namespace team-a team-b only these namespaces
  operator plan --filename blog.yaml           what applying this file would change, and what that means
  operator plan my-blog --namespace press      what this release of the operator would change on a blog
  operator render --filename blog.yaml | kubectl apply -f -    a blog without an operator
  operator crds | kubectl apply --server-side -f -
  operator completions bash > /etc/bash_completion.d/operator"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch FlaskBlogs and reconcile them.
    Run(RunArgs),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// Show what would be created, changed, restarted or deleted for a FlaskBlog, without changing anything.
    Plan(PlanArgs),
    /// Print every object of a FlaskBlog as YAML, as the operator would apply it, for a cluster without an operator.
    Render(RenderArgs),
    /// Check whether a running operator is ready; exits with 1 and the reason if not. `helm test` uses it.
    CheckReady {
        /// Host and port of the operator's HTTP server.
        #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
        address: String,
        /// Retry for this many seconds before failing.
        #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=3600))]
        wait: u64,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// Settings of `operator run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Watch only these namespaces (default: all).
    #[arg(long = "watch-namespace", value_name = "NS", num_args = 1.., value_delimiter = ',', env = "WATCH_NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Image for blogs whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// Host of the nodes for clients; used in `status.url` of NodePort services.
    #[arg(long, env = "NODE_ADDRESS", default_value = "localhost")]
    pub node_address: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Namespace of the leader election Lease (default: the kubeconfig's namespace).
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the leader election Lease, shared by the instances of one installation. Installations that watch different
    /// namespaces need different names.
    #[arg(long, env = "LEASE_NAME", default_value = "flaskblog-operator")]
    pub lease_name: String,
    /// Name of this instance in the Lease and in Events; must be unique.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// Maximum number of concurrent reconciles, per watched namespace if namespaces are given.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Seconds between periodic reconciles of a converged blog, without any watch event.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86400))]
    pub resync_seconds: u64,
    /// Base URL of the alerts' runbooks, up to the name of the page; the source has them in docs/runbooks/.
    #[arg(long, env = "RUNBOOKS", default_value = RUNBOOKS)]
    pub runbooks: String,
    /// Log filter, in the syntax of RUST_LOG.
    #[arg(long, env = "RUST_LOG", default_value = "info,kube_client=warn")]
    pub log: String,
    /// `json` or `text` (default: text on a terminal, else JSON).
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Settings of `operator plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Name of a FlaskBlog in the cluster.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub name: Option<String>,
    /// A file with one FlaskBlog, or - for standard input; compared with the cluster as if it had been applied.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: Option<String>,
    /// Namespace (default: that of the file, or the kubeconfig's current one).
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Image for a blog whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// Exit with code 2 if something would change.
    #[arg(long)]
    pub exit_code: bool,
}

/// Settings of `operator render`.
#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// A file with one FlaskBlog, or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: String,
    /// Namespace (default: that of the file, or `default`).
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Image for a blog whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// Print a Namespace first.
    #[arg(long)]
    pub create_namespace: bool,
    /// Omit the Secrets: they exist already, with passwords that are in use.
    #[arg(long)]
    pub without_secrets: bool,
    /// Print only the Secrets, with new passwords: for `kubectl create`, which never replaces existing ones.
    #[arg(long, conflicts_with = "without_secrets")]
    pub only_secrets: bool,
}

/// Directory of the runbooks in this repository.
pub const RUNBOOKS: &str = "docs/runbooks/";

/// Blog image of the same release.
const DEFAULT_BLOG_IMAGE: &str = concat!("flaskblog/blog-app:", env!("CARGO_PKG_VERSION"));

/// Format of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, for log collectors.
    Json,
    /// Text for terminals.
    Text,
}

/// Settings of a reconcile. The rest of [`RunArgs`] concerns only the process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Image for blogs whose spec names none.
    pub blog_image: String,
    /// Host for `status.url` of NodePort services.
    pub node_address: String,
    /// Interval of the periodic reconcile of a converged blog.
    pub resync: Duration,
    /// Base URL of the alerts' runbooks, up to the name of the page.
    pub runbooks: String,
}

impl Settings {
    /// Settings of commands that only read.
    #[must_use]
    pub fn for_image(blog_image: &str) -> Self {
        Self {
            blog_image: blog_image.to_owned(),
            node_address: "localhost".into(),
            resync: Duration::from_secs(600),
            runbooks: RUNBOOKS.into(),
        }
    }
}

impl From<&RunArgs> for Settings {
    fn from(args: &RunArgs) -> Self {
        Self {
            blog_image: args.blog_image.clone(),
            node_address: args.node_address.clone(),
            resync: Duration::from_secs(args.resync_seconds),
            runbooks: args.runbooks.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn namespaces_may_be_listed_with_spaces_or_commas() {
        let cli = Cli::try_parse_from(["operator", "run", "--watch-namespace", "a", "b,c"]).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run: {cli:?}") };
        assert_eq!(args.watch_namespaces, ["a", "b", "c"]);
    }
}
