//! Typed clients for the children of a blog.

use flaskblog_api::OwnedKind;
use kube::{Api, Client, Resource, api::ApiResource, core::DynamicResourceScope};

use crate::model::blog_meta::BlogMeta;

/// The client for one kind in the blog's namespace.
#[must_use]
pub fn child_api<K>(client: &Client, id: &BlogMeta, kind: OwnedKind) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    Api::namespaced_with(client.clone(), &id.namespace, &kind.api_resource())
}
