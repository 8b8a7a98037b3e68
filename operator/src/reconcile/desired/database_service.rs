use flaskblog_api::children::{Component, selector};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::pods::MYSQL_PORT;
use crate::model::plan::Plan;

/// Headless Service: gives the MySQL pod its stable DNS name.
///
/// Addresses are published before readiness, so that a name lookup doesn't fail while MySQL starts. An early connection is
/// refused, which clients retry, while they cache a negative DNS answer.
pub(super) fn database_service(plan: &Plan) -> Option<Service> {
    plan.database.managed()?;
    Some(Service {
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(true),
            selector: Some(selector(&plan.id.name, Component::Database)),
            ports: Some(vec![ServicePort {
                name: Some("mysql".into()),
                port: MYSQL_PORT,
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String("mysql".into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}
