//! The `FlaskBlog` resource: its spec, its status, and the names of all objects that belong to it.
//!
//! This crate has no client and no async runtime, so that tools can use the types without either.

pub mod annotations;
mod bounded;
pub mod children;
pub mod conditions;
mod quantity;
pub mod v1alpha1;

pub use children::{Child, OwnedKind};
pub use quantity::{Quantity, ResourceList, Resources};
pub use v1alpha1::{
    Autoscaling, Database, DeletionPolicy, ExternalDatabase, FlaskBlog, FlaskBlogSpec, FlaskBlogStatus,
    ImagePullPolicy, Ingress, ManagedDatabase, Markup, Monitoring, NetworkPolicy, PodTemplate, Registration,
    RolloutPolicy, Rotation, Service, ServiceType, Storage, StorageStatus, TlsMode,
};
