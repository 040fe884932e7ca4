// Where a tag is: a glow over the image, a frame around the most of it, and words for those who see neither.

const SCALE = 16; // pixels of the overlay a cell

export function draw(canvas, place) {
  const rows = place.cells.length, columns = place.cells[0].length;
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  const pixels = small.getContext("2d").createImageData(columns, rows);
  place.cells.flat().forEach((value, i) => {
    // What speaks for the tag stays as it is; the rest is darkened.
    pixels.data.set([12, 14, 30, Math.round(205 * (1 - Math.min(value * 1.25, 1)))], 4 * i);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  canvas.width = columns * SCALE;
  canvas.height = rows * SCALE;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

export function frame(element, place) {
  const [x0, y0, x1, y1] = place.box;
  element.style.left = `${100 * x0}%`;
  element.style.top = `${100 * y0}%`;
  element.style.width = `${100 * (x1 - x0)}%`;
  element.style.height = `${100 * (y1 - y0)}%`;
}

export function inWords(place) {
  const [x0, y0, x1, y1] = place.box;
  if ((x1 - x0) * (y1 - y0) > 0.6) return "all over the image";
  const third = (value, words) => words[Math.min(Math.floor(value * 3), 2)];
  const vertical = third((y0 + y1) / 2, ["top", "middle", "bottom"]);
  const horizontal = third((x0 + x1) / 2, ["left", "center", "right"]);
  return vertical === "middle" && horizontal === "center" ? "in the center" : `at the ${vertical} ${horizontal}`;
}
