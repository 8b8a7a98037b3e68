//! Who a blog is: the parts of its metadata that every step needs, checked once.

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
    /// Its uid: another one under the same name is another blog.
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

    /// The owner reference for children. `blockOwnerDeletion` needs a right on the owner's finalizers subresource where
    /// OwnerReferencesPermissionEnforcement is on; nothing here needs the blocking, so it is left out.
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
