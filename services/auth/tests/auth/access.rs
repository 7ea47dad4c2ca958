//! Every method refuses whom its rule refuses.

use devstudio_kit::{
    Reason, Service,
    identity::Identity,
    rpc::{Access, Index, Method},
};
use devstudio_proto::auth::v1::Role;
use tonic::{Status, client::Grpc, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::house::{House, identity, reason};

/// Calls a method with an empty message.
async fn call(house: &House, method: &Method, person: Option<&Identity>) -> Result<(), Reason> {
    let mut grpc = Grpc::new(house.mesh.link(Service::Auth));
    grpc.ready().await.map_err(|error: Status| reason(error))?;
    let request = match person {
        Some(person) => house.by(person, ()),
        None => tonic::Request::new(()),
    };
    let path: PathAndQuery = method.path.parse().expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    let answer = match method.streams {
        false => grpc.unary(request, path, codec).await.map(drop),
        true => grpc.server_streaming(request, path, codec).await.map(drop),
    };
    answer.map_err(reason)
}

#[tokio::test]
async fn every_method_refuses_whom_its_rule_refuses() {
    let house = House::open().await;
    let dev = identity(house.add("d@house.test", Role::Dev).await.user_id, Role::Dev);
    let admin = identity(house.add("a@house.test", Role::Admin).await.user_id, Role::Admin);
    let key = Identity { key_id: Some(Uuid::new_v4()), ..dev.clone() };
    let methods: Vec<_> = Index::get().methods.iter().filter(|m| m.service == Service::Auth).collect();
    assert_eq!(methods.len(), 21);
    for method in methods {
        for (who, person) in
            [("nobody", None), ("dev", Some(&dev)), ("key", Some(&key)), ("admin", Some(&admin))]
        {
            let refused = match (method.access, who) {
                (Access::Dev | Access::Admin, "nobody") => Some(Reason::TokenMissing),
                (Access::Admin, "dev" | "key") => Some(Reason::RoleRequired),
                _ => None,
            };
            let answer = call(&house, method, person).await;
            match refused {
                Some(reason) => assert_eq!(answer, Err(reason), "{} as {who}", method.name),
                None => assert!(
                    !matches!(answer, Err(Reason::RoleRequired | Reason::Internal))
                        && (answer != Err(Reason::TokenMissing) || method.name == "user.refresh"),
                    "{} as {who}: {answer:?}",
                    method.name
                ),
            }
        }
    }
}

#[tokio::test]
async fn without_a_service_token_nothing_is_answered() {
    let house = House::open().await;
    let foreign = House::open().await;
    // a mesh with other keys, on the same routes
    let stranger = devstudio_kit::Mesh::new(Service::Edge, foreign.keys.clone());
    stranger.set_local(Service::Auth, {
        let pool = house.db.connect(Service::Auth).await;
        let deps = devstudio_auth::Deps {
            pool,
            mesh: house.mesh.seen_by(Service::Auth),
            clock: house.clock.clone(),
            config: devstudio_auth::Config::testing(),
        };
        devstudio_kit::server::guarded(devstudio_auth::routes(deps), house.keys.clone())
    });
    for method in Index::get().methods.iter().filter(|m| m.service == Service::Auth) {
        let mut grpc = Grpc::new(stranger.link(Service::Auth));
        grpc.ready().await.map_err(|error: Status| reason(error)).expect("ready");
        let path: PathAndQuery = method.path.parse().expect("a path");
        let answer =
            grpc.server_streaming(tonic::Request::new(()), path, ProstCodec::<(), ()>::default()).await;
        assert_eq!(answer.map(drop).map_err(reason), Err(Reason::TokenInvalid), "{}", method.name);
    }
}
