use std::process::ExitCode;

use cluster::{Builder, Master};

struct Model(u32);

fn load() -> Result<Model, String> {
    Ok(Model(7))
}

async fn serve(model: &Model) {
    assert_eq!(model.0, 7);
}

fn main() {
    let four = 4;
    let run: [Box<dyn FnOnce() -> ExitCode>; 6] = [
        Box::new(|| Builder::new().preload(load).workers(0).pin().run_preloaded(serve)),
        // A closure says what it takes if that comes in a `Result`.
        Box::new(|| Builder::new().preload(load).run_preloaded(|model: &'static Model| serve(model))),
        Box::new(move || {
            Builder::new().preload(move || four).run_preloaded(async |n| assert_eq!(*n, 4))
        }),
        Box::new(|| Builder::new().preload::<Model, _>(load).run(async || {})),
        Box::new(|| Builder::new().preload(|| ()).run_roles(|_| async {})),
        Box::new(|| {
            Builder::new().master(|_: Master| async {}).preload(load).run_preloaded(serve)
        }),
    ];
    // A process serves once; the others have to compile.
    let code = run.into_iter().next().map(|run| run());
    assert_eq!(code, Some(ExitCode::SUCCESS));
}
