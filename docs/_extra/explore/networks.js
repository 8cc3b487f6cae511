// The networks of coupling layers, m(x_a), and their gradients: an MLP, and the convolutions of Glow.
//
// Each network has forward(net, x) -> {y, cache} and backward(net, dy, cache) -> dx. Weights are fixed here, so no
// gradient of theirs is computed; see nice_np/networks for those.
"use strict";

// h = f(a + b) for each row of a, and dL/da from dL/dh and h; both in place.
function activation(f, slope) {
  return {
    forward(a, b, settings) {
      for (let at = 0; at < a.length; at += b.length) for (let j = 0; j < b.length; j++) a[at + j] = f(a[at + j] + b[j], settings);
      return a;
    },
    backward(dh, h, settings) {
      for (let k = 0; k < h.length; k++) dh[k] *= slope(h[k], settings);
      return dh;
    },
  };
}

const ACTIVATIONS = {  // f(a), and f'(a) written in h = f(a)
  ReLU: activation((a) => Math.max(a, 0), (h) => (h > 0 ? 1 : 0)),
  LeakyReLU: activation((a, { slope }) => (a > 0 ? a : slope * a), (h, { slope }) => (h > 0 ? 1 : slope)),
  Tanh: activation(Math.tanh, (h) => 1 - h * h),
  Softplus: activation((a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))), (h) => -Math.expm1(-h)),
  None: activation((a) => a),  // of the last layer
};

// y = x W + b for each row of x; a layer's W is (k, m).
const LINEAR = {
  forward: (layer, x) => timesTransposed(x, layer.WT ??= transposed(layer.W, layer.b.length), layer.W.length / layer.b.length),
  backward: (layer, dy) => timesTransposed(dy, layer.W, layer.b.length),  // dx = dy W^T
};

// A 3x3 convolution is the same of nine neighbours side by side: y = P(x) W, and its gradient is P^T(dy W^T).
const CONVOLUTIONS = {
  Linear: LINEAR,
  Conv1x1: LINEAR,
  Conv3x3: {
    forward: (layer, x, size) => LINEAR.forward(layer, neighbours(x, size)),
    backward: (layer, dy, size) => addToNeighbours(LINEAR.backward(layer, dy), size),
  },
};

// P: x (h w, c) -> (h w, 9 c)
function neighbours(x, size) {
  const c = x.length / (size[0] * size[1]), y = new Float64Array(9 * x.length);
  eachNeighbour(size, (pixel, near, k) => {
    for (let i = 0, to = (9 * pixel + k) * c, from = near * c; i < c; i++) y[to + i] = x[from + i];
  });
  return y;
}

// P^T: a pixel adds nine rows to its neighbours, (h w, 9 c) -> (h w, c)
function addToNeighbours(y, size) {
  const c = y.length / (9 * size[0] * size[1]), x = new Float64Array(y.length / 9);
  eachNeighbour(size, (pixel, near, k) => {
    for (let i = 0, from = (9 * pixel + k) * c, to = near * c; i < c; i++) x[to + i] += y[from + i];
  });
  return x;
}

// Calls visit(pixel, its neighbour, which of the nine that is).
function eachNeighbour([height, width], visit) {
  for (let k = 0; k < 9; k++) {
    const up = Math.floor(k / 3) - 1, left = k % 3 - 1;
    for (let row = Math.max(-up, 0); row < height - Math.max(up, 0); row++) {
      for (let column = Math.max(-left, 0); column < width - Math.max(left, 0); column++) {
        const pixel = row * width + column;
        visit(pixel, pixel + up * width + left, k);
      }
    }
  }
}

// Layers in a row, an activation between them. The cache holds the input of each layer.
function layersForward({ layers, activation, pixels }, x) {
  const inputs = [];
  layers.forEach((layer, k) => {
    inputs.push(x);
    const last = k === layers.length - 1, { forward } = ACTIVATIONS[last ? "None" : activation.class];
    x = forward(CONVOLUTIONS[layer.class].forward(layer, x, pixels), layer.b, activation);
  });
  return { y: x, cache: inputs };
}

function layersBackward({ layers, activation, pixels }, dy, inputs) {
  for (let k = layers.length - 1; k >= 0; k--) {
    dy = CONVOLUTIONS[layers[k].class].backward(layers[k], dy, pixels);
    if (k > 0) ACTIVATIONS[activation.class].backward(dy, inputs[k], activation);  // inputs[k] = h = f(a)
  }
  return dy;
}

const NETWORKS = {
  MLP: { forward: layersForward, backward: layersBackward },
  GlowNet: {  // features are planes (c, h w), convolutions want the channels of a pixel side by side, (h w, c)
    forward(net, x) {
      const area = net.pixels[0] * net.pixels[1], { y, cache } = layersForward(net, transposed(x, area));
      return { y: transposed(y, y.length / area), cache };
    },
    backward(net, dy, cache) {
      const area = net.pixels[0] * net.pixels[1], dx = layersBackward(net, transposed(dy, area), cache);
      return transposed(dx, dx.length / area);
    },
  },
};
