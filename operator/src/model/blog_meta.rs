//! Identity of a blog: the metadata that every step needs, checked once.

use flaskblog_api::FlaskBlog;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use crate::model::error::Invalid;

/// Namespace, name, uid and generation of a FlaskBlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlogMeta {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid. A FlaskBlog of the same name with another uid is another blog.
    pub uid: String,
    /// The generation of the spec.
    pub generation: Option<i64>,
}

impl BlogMeta {
    /// Reads it from the metadata.
    ///
    /// # Errors
    /// [`Invalid::Incomplete`] when a part is missing, which never happens to objects from an API server.
    pub fn of(blog: &FlaskBlog) -> Result<Self, Invalid> {
        let meta = &blog.metadata;
        Ok(Self {
            namespace: meta.namespace.clone().ok_or(Invalid::Incomplete("namespace"))?,
            name: meta.name.clone().ok_or(Invalid::Incomplete("name"))?,
            uid: meta.uid.clone().ok_or(Invalid::Incomplete("uid"))?,
            generation: meta.generation,
        })
    }

    /// The owner reference for children.
    ///
    /// `blockOwnerDeletion` is left out, since nothing here needs it. Where OwnerReferencesPermissionEnforcement is on, it
    /// requires a permission on the owner's finalizers subresource.
    #[must_use]
    pub fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: FlaskBlog::api_version(&()).into_owned(),
            kind: FlaskBlog::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}
