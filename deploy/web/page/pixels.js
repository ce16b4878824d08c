"use strict";
// From a decoded picture to the pixels of the network's input, by the rules of training.
//
// A picture is reduced by a whole number (each pixel the mean of a box), fitted to a square of `stored`
// pixels by Pillow's bicubic filter, and resized to the input's side by PyTorch's antialiased bilinear
// filter. Both filters are computed in whole numbers with the rounding of those libraries.

const GREY = 128; // of the bars that the fit "pad" adds
const REDUCING_GAP = 3; // reduced pictures have at least this multiple of the target's sides
const LARGE = 16e6; // pixels above which a picture is reduced even where its centre is cut out
const BAND = 1 << 20; // pixels that are read from the picture at a time

const BICUBIC = {
  support: 2,
  weight(x) {
    const d = Math.abs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? -0.5 * (((d - 5) * d + 8) * d - 4) : 0;
  },
};
const TRIANGLE = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

/** Return the network's view of a picture: `side * side` RGB bytes, row by row.
 *
 * @param {ImageBitmap} picture upright.
 * @param {boolean} isJpeg whether it comes from a JPEG file, which training decodes at a smaller scale.
 * @param {{fit: string, stored: number}} rule of the model.
 * @param {number} side of the network's input.
 */
function networkPixels(picture, isJpeg, rule, side) {
  const square = fitted(picture, isJpeg, rule.stored, rule.fit);
  if (side === rule.stored) return square;
  const all = spans(0, rule.stored, side, rule.stored, TRIANGLE);
  const taps = whole(all, bitsOfTorch(all));
  return acrossRows(acrossColumns(square, rule.stored, rule.stored, taps), side, taps);
}

/** Return a picture cut, squashed or padded to `size * size` RGB bytes. */
function fitted(picture, isJpeg, size, fit) {
  const scale = isJpeg ? jpegScale(picture.width, picture.height, size) : 1;
  const width = Math.ceil(picture.width / scale);
  const height = Math.ceil(picture.height / scale);
  if (fit === "crop") {
    const side = Math.min(width, height);
    const left = (width - side) / 2;
    const top = (height - side) / 2;
    const edges = [left, top, left + side, top + side];
    return resized(picture, scale, edges, [size, size], width * height > LARGE);
  }
  const edges = [0, 0, width, height];
  if (fit === "squash") return resized(picture, scale, edges, [size, size], true);
  if (fit !== "pad") throw new Error(`unknown fit ${fit}`);
  const ratio = size / Math.max(width, height);
  const shape = [width, height].map((length) => Math.max(1, roundHalfToEven(length * ratio)));
  const small = resized(picture, scale, edges, shape, true);
  return onGrey(small, shape[0], shape[1], size);
}

/** Return the scale, 1, 2, 4 or 8, at which training decodes a JPEG. */
function jpegScale(width, height, size) {
  const most = Math.min(Math.floor(width / (2 * size)), Math.floor(height / (2 * size)));
  return [8, 4, 2].find((scale) => most >= scale) ?? 1;
}

function roundHalfToEven(x) {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}

function onGrey(small, width, height, size) {
  const square = new Uint8ClampedArray(3 * size * size).fill(GREY);
  const left = Math.floor((size - width) / 2);
  const top = Math.floor((size - height) / 2);
  for (let y = 0; y < height; y++) {
    square.set(small.subarray(3 * y * width, 3 * (y + 1) * width), 3 * ((top + y) * size + left));
  }
  return square;
}

/** Return a part of a picture at another size; `edges` count in pixels of the picture over `scale`. */
function resized(picture, scale, edges, [outWidth, outHeight], reduce) {
  const [left, top, right, bottom] = edges;
  const across = reduce ? Math.floor((right - left) / outWidth / REDUCING_GAP) || 1 : 1;
  const down = reduce ? Math.floor((bottom - top) / outHeight / REDUCING_GAP) || 1 : 1;
  const [boxWidth, boxHeight] = [scale * across, scale * down];
  const width = Math.ceil(picture.width / boxWidth);
  const height = Math.ceil(picture.height / boxHeight);
  const columns = whole(spans(left / across, right / across, outWidth, width, BICUBIC), 22);
  const rows = whole(spans(top / down, bottom / down, outHeight, height, BICUBIC), 22);
  const narrow = new Uint8ClampedArray(3 * outWidth * height);
  for (const { start, count, rgba } of bands(picture, boxHeight)) {
    const decoded = boxes(rgba, 4, picture.width, count, scale, scale, scale > 1 ? writeLikeJpeg : writeMean);
    const [shortWidth, shortCount] = [Math.ceil(picture.width / scale), Math.ceil(count / scale)];
    const band = boxes(decoded, 3, shortWidth, shortCount, across, down, writeMean);
    const bandHeight = Math.ceil(count / boxHeight);
    narrow.set(acrossColumns(band, width, bandHeight, columns), (3 * outWidth * start) / boxHeight);
  }
  return acrossRows(narrow, outWidth, rows);
}

/** Yield the picture, on white, in bands of whole rows; their number is a multiple of `multiple`. */
function* bands(picture, multiple) {
  const { width, height } = picture;
  const most = Math.max(1, Math.floor(BAND / width / multiple)) * multiple;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = Math.min(most, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let start = 0; start < height; start += most) {
    const count = Math.min(most, height - start);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, count);
    context.drawImage(picture, 0, start, width, count, 0, 0, width, count);
    yield { start, count, rgba: context.getImageData(0, 0, width, count).data };
  }
}

/** Return RGB bytes of which each pixel stands for a box of RGB or RGBA ones; boxes at the end are cut.
 *
 * @param {Uint8ClampedArray} values with so many `channels`.
 * @param {function} write puts a pixel, from the sums of its box.
 */
function boxes(values, channels, width, height, boxWidth, boxHeight, write) {
  const outWidth = Math.ceil(width / boxWidth);
  const outHeight = Math.ceil(height / boxHeight);
  const out = new Uint8ClampedArray(3 * outWidth * outHeight);
  for (let y = 0, to = 0; y < outHeight; y++) {
    const [top, bottom] = [y * boxHeight, Math.min(height, (y + 1) * boxHeight)];
    for (let x = 0; x < outWidth; x++, to += 3) {
      const [left, right] = [x * boxWidth, Math.min(width, (x + 1) * boxWidth)];
      let [red, green, blue] = [0, 0, 0];
      for (let row = top; row < bottom; row++) {
        const end = channels * (row * width + right);
        for (let at = channels * (row * width + left); at < end; at += channels) {
          red += values[at];
          green += values[at + 1];
          blue += values[at + 2];
        }
      }
      write(out, to, red, green, blue, (bottom - top) * (right - left));
    }
  }
  return out;
}

/** Write the mean of some pixels, as Pillow rounds it: half a level up. */
function writeMean(out, to, red, green, blue, pixels) {
  const half = pixels >> 1;
  out[to] = Math.floor((red + half) / pixels);
  out[to + 1] = Math.floor((green + half) / pixels);
  out[to + 2] = Math.floor((blue + half) / pixels);
}

/** Write the mean of some pixels as a JPEG decoder does at a smaller scale: it rounds Y, Cb and Cr. */
function writeLikeJpeg(out, to, redSum, greenSum, blueSum, pixels) {
  const [red, green, blue] = [redSum / pixels, greenSum / pixels, blueSum / pixels];
  const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
  const y = Math.floor(luma + 0.56); // a half goes up, even if these pixels make it a little less
  const cb = Math.round((blue - luma) / 1.772);
  const cr = Math.round((red - luma) / 1.402);
  out[to] = y + Math.round(1.402 * cr);
  out[to + 1] = y + Math.round(-0.344136 * cb - 0.714136 * cr);
  out[to + 2] = y + Math.round(1.772 * cb);
}

/** Return, for each of `size` results, where its sources begin and their weights, which sum to 1. */
function spans(from, to, size, length, filter) {
  const start = Math.fround(from); // Pillow keeps edges in single precision
  const scale = Math.fround(Math.fround(to) - start) / size;
  const stretch = Math.max(1, scale);
  return Array.from({ length: size }, (_, index) => {
    const centre = start + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - filter.support * stretch + 0.5));
    const end = Math.min(length, Math.trunc(centre + filter.support * stretch + 0.5));
    const weights = [];
    for (let i = first; i < end; i++) weights.push(filter.weight((i - centre + 0.5) / stretch));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Return the bits of PyTorch's whole weights: as many as fit the largest into 16 bits with a sign. */
function bitsOfTorch(all) {
  const largest = Math.max(...all.map(({ weights }) => Math.max(...weights)));
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  return bits;
}

/** Return the spans with weights in units of `2 ** -bits`, rounded half away from zero. */
function whole(all, bits) {
  const round = (weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5));
  const rounded = ({ first, weights }) => ({ first, weights: Int32Array.from(weights, round) });
  return { bits, spans: all.map(rounded) };
}

/** Resample each row of an RGB picture. */
function acrossColumns(rgb, width, height, taps) {
  const size = taps.spans.length;
  const out = new Uint8ClampedArray(3 * size * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = taps.spans[x];
      resample(rgb, 3 * (y * width + first), 3, weights, taps.bits, out, 3 * (y * size + x));
    }
  }
  return out;
}

/** Resample each column of an RGB picture. */
function acrossRows(rgb, width, taps) {
  const out = new Uint8ClampedArray(3 * width * taps.spans.length);
  taps.spans.forEach(({ first, weights }, y) => {
    for (let x = 0; x < width; x++) {
      resample(rgb, 3 * (first * width + x), 3 * width, weights, taps.bits, out, 3 * (y * width + x));
    }
  });
  return out;
}

/** Write one pixel: the weighted sum of those from `at` on, `step` bytes apart. */
function resample(rgb, at, step, weights, bits, out, to) {
  let red = 2 ** (bits - 1); // one half, since the shift below rounds down
  let [green, blue] = [red, red];
  for (let i = 0; i < weights.length; i++, at += step) {
    red += weights[i] * rgb[at];
    green += weights[i] * rgb[at + 1];
    blue += weights[i] * rgb[at + 2];
  }
  out[to] = red >> bits;
  out[to + 1] = green >> bits;
  out[to + 2] = blue >> bits;
}
