//! Prometheus and Grafana integration (no client required): alerts and dashboards of each blog and of the operator itself.
//! `cargo xtask codegen` writes the operator's own into its chart. A blog's are created with the blog.

mod alerts;
mod dashboards;

pub use self::{
    alerts::{Alert, Subject, blog_alerts, groups, operator_alerts},
    dashboards::{blog_dashboard, expressions, operator_dashboard},
};
