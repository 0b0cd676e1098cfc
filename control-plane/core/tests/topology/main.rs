//! What holds of every tree, every failure table and every direct link, whatever the world looks like.

mod links;
mod offices;
mod stability;
mod trees;
mod world;
