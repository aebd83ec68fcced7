mod l1_transparency;
mod l2_fates;
mod l2_order;
mod l3_answers;
mod l4_closes;
mod l8_determinism;
mod l9_secrets;
