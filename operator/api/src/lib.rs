//! The `FlaskBlog` resource: what a user writes, what the operator answers, and how everything made for it is named.
//!
//! No client and no async runtime in here, so that a tool can use the types without either.

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
