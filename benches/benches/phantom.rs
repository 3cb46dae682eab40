//! What a phantom costs: to draw and render, and to scan once more. `cargo bench -p ovomesh-benches --bench phantom`
#![allow(missing_docs)] // criterion's macro makes a public function

use std::{hint::black_box, num::NonZero};

use criterion::{Criterion, criterion_group, criterion_main};
use ovomesh_phantom::{Class, Grid, Library, Phantom, Profile, Renderer, Scanner, Shares, rng};

fn render(c: &mut Criterion) {
    let mut renderer = Renderer::new(&Grid::STANDARD);
    let moving = Profile { motion_share: 1.0, ..Profile::nominal() };
    let still = Profile { motion_share: 0.0, ..Profile::nominal() };
    for (name, profile) in [("render still", still), ("render moving", moving)] {
        let egg = Phantom::new(&profile, Class::Female, 1);
        c.bench_function(name, |b| b.iter(|| renderer.render(black_box(&egg))));
    }
    c.bench_function("draw", |b| b.iter(|| Phantom::new(&Profile::nominal(), Class::Female, black_box(1))));
}

fn acquire(c: &mut Criterion) {
    let one = NonZero::new(1).expect("1 is not 0");
    let library =
        Library::generate(&Profile::nominal(), &Grid::STANDARD, Shares::HATCHERY, 64, 1, one, |_| {});
    let mut out = vec![0; library.grid().bytes()];
    let mut rng = rng(2);
    let mut index = 0;
    c.bench_function("acquire 64x64x16", |b| {
        b.iter(|| {
            index = (index + 1) % library.len();
            library.acquire(index, &mut rng, &Scanner::default(), black_box(&mut out));
        });
    });
}

criterion_group!(benches, render, acquire);
criterion_main!(benches);
