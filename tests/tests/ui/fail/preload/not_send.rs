use std::rc::Rc;

fn load() -> Rc<u32> {
    Rc::new(7)
}

#[cluster::main(preload = load)]
async fn main(_model: &Rc<u32>) {}
