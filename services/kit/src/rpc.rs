//! The index of all methods, from the descriptors: path, name at the edge, who may call, and the message types.

use std::{collections::HashMap, sync::LazyLock};

pub use devstudio_proto::options::v1::{Access, RateClass};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};

use crate::link::Service;

/// One method of the contract.
#[derive(Debug, Clone)]
pub struct Method {
    /// `/devstudio.llm.v1.LlmService/Chat`
    pub path: String,
    /// `llm.chat`
    pub name: String,
    /// Other names that lead here.
    pub aliases: Vec<String>,
    /// Who may call it.
    pub access: Access,
    /// Which rate limit it counts against.
    pub rate: RateClass,
    /// The service that answers.
    pub service: Service,
    /// The request.
    pub input: MessageDescriptor,
    /// The response, or one message of it.
    pub output: MessageDescriptor,
    /// It answers with a stream.
    pub streams: bool,
    /// It takes a stream. Only gRPC has those; the edge has doors of its own for them (see [`Method::instead`]).
    pub takes_stream: bool,
    /// Its comment in the proto.
    pub comment: String,
}

impl Method {
    /// What to use in place of JSON, for a method that takes a stream.
    pub fn instead(&self) -> Option<&'static str> {
        match self.name.as_str() {
            _ if !self.takes_stream => None,
            "upload.put" => Some("PUT /upload with the content as the body, or gRPC"),
            "terminal.attach" => Some("the WebSocket /stream/terminal/{id}, or gRPC"),
            "port.connect" => Some("the address that port.open gives, or gRPC"),
            _ => Some("gRPC"),
        }
    }
}

/// All methods.
#[derive(Debug)]
pub struct Index {
    /// In the order of the proto files.
    pub methods: Vec<Method>,
    /// The descriptors.
    pub pool: DescriptorPool,
    by_path: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
}

impl Index {
    /// The index of this build. Panics where the contract breaks its own rules (a method without access rule, a
    /// name used twice), so that such a build does not start.
    pub fn get() -> &'static Index {
        static INDEX: LazyLock<Index> = LazyLock::new(Index::load);
        &INDEX
    }

    /// The method of a gRPC path.
    pub fn by_path(&self, path: &str) -> Option<&Method> {
        self.by_path.get(path).map(|i| &self.methods[*i])
    }

    /// The method of a name or alias.
    pub fn by_name(&self, name: &str) -> Option<&Method> {
        self.by_name.get(name).map(|i| &self.methods[*i])
    }

    /// The gRPC names of the services that have methods, such as `devstudio.llm.v1.LlmService`.
    pub fn service_names(&self) -> Vec<(String, Service)> {
        let mut names: Vec<(String, Service)> = Vec::new();
        for method in &self.methods {
            let name = method.path[1..].split('/').next().unwrap_or_default().to_owned();
            if names.iter().all(|(known, _)| *known != name) {
                names.push((name, method.service));
            }
        }
        names
    }

    fn load() -> Index {
        let pool = DescriptorPool::decode(devstudio_proto::DESCRIPTORS).expect("the build encoded them");
        let extension =
            pool.get_extension_by_name("devstudio.options.v1.method").expect("options.proto has it");
        let mut index = Index {
            methods: Vec::new(),
            by_path: HashMap::new(),
            by_name: HashMap::new(),
            pool: pool.clone(),
        };
        for service in pool.services().filter(|s| s.package_name().starts_with("devstudio.")) {
            let owner = Service::of_package(service.package_name()).expect("every package has its service");
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let options = method.options();
                let rule = options.get_extension(&extension);
                let rule = rule.as_message().expect("a MethodRule");
                let access = Access::try_from(number(rule, "access")).unwrap_or_default();
                assert!(access != Access::Unspecified, "{path} has no access rule");
                let name = text(rule, "name");
                assert!(!name.is_empty(), "{path} has no name");
                let aliases: Vec<String> = rule
                    .get_field_by_name("aliases")
                    .and_then(|v| {
                        v.as_list().map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                    })
                    .unwrap_or_default();
                let at = index.methods.len();
                for name in aliases.iter().chain([&name]) {
                    assert!(index.by_name.insert(name.clone(), at).is_none(), "{name} is used twice");
                }
                index.by_path.insert(path.clone(), at);
                index.methods.push(Method {
                    path,
                    name,
                    aliases,
                    access,
                    rate: RateClass::try_from(number(rule, "rate")).unwrap_or_default(),
                    service: owner,
                    input: method.input(),
                    output: method.output(),
                    streams: method.is_server_streaming(),
                    takes_stream: method.is_client_streaming(),
                    comment: comment(method.parent_file().file_descriptor_proto(), method.path()),
                });
            }
        }
        index
    }
}

/// The leading comment of the thing at a path of a file's source info.
pub fn comment(file: &prost_types::FileDescriptorProto, path: &[i32]) -> String {
    let info = file.source_code_info.as_ref();
    let found = info.and_then(|info| info.location.iter().find(|l| l.path == path));
    let text = found.map(|l| l.leading_comments().to_owned()).unwrap_or_default();
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn number(message: &DynamicMessage, field: &str) -> i32 {
    message.get_field_by_name(field).and_then(|v| v.as_enum_number()).unwrap_or(0)
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_paths_lead_to_the_same_method() {
        let index = Index::get();
        let start = index.by_name("llm.start").expect("it is in the contract");
        assert_eq!(index.by_name("llm.load").map(|m| &m.path), Some(&start.path));
        assert_eq!(
            index.by_path("/devstudio.llm.v1.LlmService/LoadModel").map(|m| m.access),
            Some(Access::Admin)
        );
        assert!(start.comment.starts_with("Begins, or joins"), "{}", start.comment);
    }

    #[test]
    fn what_takes_a_stream_says_what_to_use_in_place_of_json() {
        let index = Index::get();
        let put = index.by_name("upload.put").expect("it is in the contract");
        assert!(put.takes_stream && put.instead().is_some_and(|instead| instead.contains("PUT /upload")));
        assert_eq!(index.by_name("fs.write").expect("it is in the contract").instead(), None);
    }
}
