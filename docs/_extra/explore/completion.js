// Completions of a picture of which some pixels are known: draws from p(z | known pixels) by Hamiltonian Monte Carlo.
//
// In latent space the unknown is z, x = decode(z), and a known pixel y_i is x_i plus noise of standard deviation sigma:
//
//     U(z) = -log p(z | y) = sum_known (x_i - y_i)^2 / (2 sigma^2) - log p_Z(z) + const
//
// A step throws z in a random direction, with momentum p ~ N(0, I), and follows the motion of a ball in the landscape U
// by leapfrogs; it keeps the end point with probability min(1, exp(H before - H after)), H = U + p^2 / 2, which makes
// the chain exact for its sigma. sigma starts wide and falls ("annealing"), so that the chain first finds the right
// valley. See nice_np/restoration/hmc.py; there the mass matrix is fitted, here it is 1.
"use strict";

const WIDE = 1, NARROW = 0.1, FIRST = 0.15;  // sigma at the start and at the end; pixels are in [0, 1]
const STEPS = 32, LEAPFROGS = 8, ANNEALED = 0.75;  // sigma has fallen after this share of the steps
const TARGET = 0.7;  // share of the steps to be accepted; the step size follows it while sigma falls

// U and dU/dz
function potential(flow, z, image, known, sigma) {
  const { x, pullback } = flow.decodeWithPullback(z);
  let U = -flow.logPrior(z);
  const dx = x.map((value, i) => {
    if (!known[i]) return 0;
    U += (value - image[i]) ** 2 / (2 * sigma ** 2);
    return (value - image[i]) / sigma ** 2;
  });
  const through = pullback(dx);
  return { x, U, dU: through.map((d, i) => d - flow.law.slope(z[i])) };
}

// One chain. It pauses after each leapfrog, so that a page can do something else, and says how far it is.
function* completion(flow, image, known, random) {
  const fall = (NARROW / WIDE) ** (1 / (ANNEALED * STEPS));  // of sigma, from step to step
  let z = flow.draw(random), size = FIRST;
  for (let step = 0; step < STEPS; step++) {
    const sigma = Math.max(WIDE * fall ** step, NARROW);
    let here = potential(flow, z, image, known, sigma), at = z;
    const p = z.map(random.normal), kinetic = () => p.reduce((total, value) => total + value * value / 2, 0);
    const before = here.U + kinetic(), e = size * (0.8 + 0.4 * random.uniform()), old = here.x;
    for (let k = 0; k < LEAPFROGS; k++) {
      for (let i = 0; i < p.length; i++) p[i] -= e / 2 * here.dU[i];
      at = at.map((value, i) => value + e * p[i]);
      here = potential(flow, at, image, known, sigma);
      for (let i = 0; i < p.length; i++) p[i] -= e / 2 * here.dU[i];
      yield { x: here.x, z: at, done: (step + (k + 1) / LEAPFROGS) / STEPS, sigma };
    }
    const probability = Math.min(1, Math.exp(before - here.U - kinetic())) || 0;  // NaN: the motion has diverged
    const accepted = random.uniform() < probability;
    if (accepted) z = at;
    if (step < ANNEALED * STEPS) {  // no longer once samples count
      size *= fall * Math.exp(0.3 * (probability - TARGET));  // a valley of width sigma wants steps in proportion
    }
    yield { x: accepted ? here.x : old, z, done: (step + 1) / STEPS, sigma, probability };
  }
}
