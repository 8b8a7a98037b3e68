use flaskblog_api::children::{Component, selector};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::model::plan::Plan;

/// The Service in front of the replicas.
///
/// `nodePort` is set only if the user pinned one. Otherwise the cluster's choice is not applied, and so it stays.
pub(super) fn app_service(plan: &Plan) -> Service {
    let wanted = &plan.app.service;
    Service {
        spec: Some(ServiceSpec {
            type_: Some(wanted.type_.as_str().into()),
            selector: Some(selector(&plan.id.name, Component::App)),
            ports: Some(vec![ServicePort {
                name: Some("http".into()),
                port: wanted.port,
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String("http".into())),
                node_port: wanted.node_port,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
