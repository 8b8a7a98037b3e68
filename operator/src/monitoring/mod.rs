//! What Prometheus and Grafana are told (no client required): alerts and dashboards, of each blog and of the operator itself.
//! The operator's own are written into its chart by `cargo xtask codegen`; a blog's are made with it.

mod alerts;
mod dashboards;

pub use self::{
    alerts::{Alert, Subject, blog_alerts, groups, operator_alerts},
    dashboards::{blog_dashboard, expressions, operator_dashboard},
};
