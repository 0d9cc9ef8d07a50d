//! Generates the gRPC service of the tonic fixture and its test, from no `.proto` file: there may be no
//! `protoc`.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("String")
            .output_type("String")
            .codec_path("tonic_prost::ProstCodec")
    };
    let echo = Service::builder()
        .package("cluster")
        .name("Echo")
        .method(method("say", "Say").build())
        .method(method("talk", "Talk").client_streaming().server_streaming().build())
        .build();
    Builder::new().compile(&[echo]);
    println!("cargo::rerun-if-changed=build.rs");
}
