//! The settings of the command line and the environment, as one type.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, Subcommand};

/// Keeps Flaskr blogs and their MySQL databases alive on Kubernetes.
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

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch FlaskBlogs and keep them as their specs say.
    Run(RunArgs),
    /// Print the CustomResourceDefinitions as YAML.
    Crds,
    /// Show what would be created, changed, restarted or deleted for a FlaskBlog, and change nothing.
    Plan(PlanArgs),
    /// Print every object of a FlaskBlog as YAML, as the operator would apply it, for a cluster without one.
    Render(RenderArgs),
    /// Ask a running operator whether it is ready; exits with 1 and the reason if not. `helm test` uses it.
    CheckReady {
        /// Host and port of the operator's HTTP server.
        #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
        address: String,
        /// Ask again for this many seconds before it is a failure.
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
    /// Watch only these namespaces (all of them by default).
    #[arg(long = "watch-namespace", value_name = "NS", num_args = 1.., value_delimiter = ',', env = "WATCH_NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Image for blogs whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// Host under which people reach the nodes' ports; used for `status.url` of NodePort services.
    #[arg(long, env = "NODE_ADDRESS", default_value = "localhost")]
    pub node_address: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Namespace of the leader election Lease (the kubeconfig's default one if not set).
    #[arg(long, env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease that the instances of one installation compete for. Installations that watch different namespaces
    /// need different ones.
    #[arg(long, env = "LEASE_NAME", default_value = "flaskblog-operator")]
    pub lease_name: String,
    /// Name of this instance in the Lease and in Events; must differ between instances.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
    /// How many blogs are reconciled at the same time, in each watched namespace if namespaces are named.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// Seconds after which a settled blog is looked at again, though no watch told of a change.
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86400))]
    pub resync_seconds: u64,
    /// Where the runbooks of alerts are published, up to the name of the page; they lie in docs/runbooks/ of the source.
    #[arg(long, env = "RUNBOOKS", default_value = RUNBOOKS)]
    pub runbooks: String,
    /// Log filter, in the syntax of RUST_LOG.
    #[arg(long, env = "RUST_LOG", default_value = "info,kube_client=warn")]
    pub log: String,
    /// `json` or `text`; by default text on a terminal and JSON elsewhere.
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// Settings of `operator plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Name of a FlaskBlog in the cluster.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub name: Option<String>,
    /// A file with one FlaskBlog, or - for the standard input; it is compared with the cluster as if it had been applied.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: Option<String>,
    /// Namespace (that of the file, or the kubeconfig's current one, if not set).
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Image for a blog whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// End with exit code 2 if something would change.
    #[arg(long)]
    pub exit_code: bool,
}

/// Settings of `operator render`.
#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// A file with one FlaskBlog, or - for the standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub file: String,
    /// Namespace (that of the file, or `default`, if not set).
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Image for a blog whose spec names none.
    #[arg(long, env = "BLOG_IMAGE", default_value = DEFAULT_BLOG_IMAGE)]
    pub blog_image: String,
    /// Print a Namespace first.
    #[arg(long)]
    pub create_namespace: bool,
    /// Leave the Secrets out: they exist already, with passwords that are in use.
    #[arg(long)]
    pub without_secrets: bool,
    /// Print the Secrets alone, with new passwords: for `kubectl create`, which never replaces those that are in use.
    #[arg(long, conflicts_with = "without_secrets")]
    pub only_secrets: bool,
}

/// Where the runbooks are in this repository.
pub const RUNBOOKS: &str = "docs/runbooks/";

/// The blog of the same release.
const DEFAULT_BLOG_IMAGE: &str = concat!("flaskblog/blog-app:", env!("CARGO_PKG_VERSION"));

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for log collectors.
    Json,
    /// For people.
    Text,
}

/// The settings of a reconcile. The rest of [`RunArgs`] concerns the process only.
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
