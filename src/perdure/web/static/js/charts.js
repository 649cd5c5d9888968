// Charts over time. What they show stands in the page, and beside them as a table.
"use strict";

for (const place of document.querySelectorAll("[data-chart]")) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const unit = place.dataset.unit ?? "";
  const axis = { stroke: colour("ink-3"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: `11px ${style.getPropertyValue("--font")}` };
  const data = JSON.parse(place.dataset.chart);
  const half = data[0].length > 1 ? (data[0][1] - data[0][0]) / 2 : 43200;
  const days = half > 7200 ? { space: 60, incrs: [86400, 7 * 86400, 30 * 86400] } : {};
  const options = {
    width: place.clientWidth, height: place.clientHeight, cursor: { y: false }, legend: { show: false },
    series: [{}, { label: unit === "$" ? "Cost" : place.dataset.label, stroke: colour("blue-solid"), fill: colour("blue-soft"), width: 1.5, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 40] }) }],
    axes: [{ ...axis, ...days }, { ...axis, size: 60, values: (_, all) => all.map((v) => `${unit}${v}`) }],
    scales: { x: { range: (_, low, high) => [low - half, high + half] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
  };
  const chart = new uPlot(options, data, place);
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
}
