#[cluster::main]
async fn main<T: Default>()
where
    T: Copy,
{
    let _: T = T::default();
}
