//! Writes to MySQL's pod itself.

use flaskblog_api::children::{MANAGER, database_pod};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Change, Writer, exactly, tolerate_gone};
use crate::model::error::Error;

impl Writer<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.id.namespace)
    }

    pub(super) async fn replace_pod(&self, pod: &Pod, changes: &mut Vec<Change>) -> Result<(), Error> {
        let name = pod.name_any();
        self.metrics.api_writes.get_or_create(&("delete", "Pod".to_owned()).into()).inc();
        tolerate_gone(self.pods().delete(&name, &exactly(pod.uid())).await.map(|_| ())).map_err(
            |source| Error::Write {
                verb: "delete",
                kind: "Pod".into(),
                name: name.clone(),
                source: Box::new(source),
            },
        )?;
        changes.push(Change { reason: "Deleted", kind: "Pod".into(), name });
        Ok(())
    }

    /// Makes the FlaskBlog an owner of the pod, beside its controller.
    pub(super) async fn own_database_pod(&self) -> Result<(), Error> {
        let name = database_pod(&self.id.name);
        let read = self.pods().get_metadata_opt(&name).await;
        let read = read.map_err(|source| Error::Read {
            kind: "Pod".into(),
            name: name.clone(),
            source: Box::new(source),
        })?;
        let Some(pod) = read else { return Ok(()) };
        let mut owners = pod.owner_references().to_vec();
        if owners.iter().any(|owner| owner.uid == self.id.uid) {
            return Ok(());
        }
        owners.push(OwnerReference { controller: None, ..self.id.owner_reference() });
        let patch = json!({"metadata": {"resourceVersion": pod.metadata.resource_version, "ownerReferences": owners}});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        self.metrics.api_writes.get_or_create(&("own", "Pod".to_owned()).into()).inc();
        let written = self.pods().patch_metadata(&name, &params, &Patch::Merge(patch)).await;
        tolerate_gone(written.map(|_| ())).map_err(|source| Error::Write {
            verb: "set the owner of",
            kind: "Pod".into(),
            name,
            source: Box::new(source),
        })
    }
}
