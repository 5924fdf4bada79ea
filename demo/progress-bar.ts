/** `done` of `total` seconds as a bar of fixed width with numbers behind it. */
function progressBar(done: number, total: number): string {
  const width = 30;
  const filled = Math.round(Math.min(1, done / total) * width);
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${Math.min(done, total).toFixed(0)}/${total} s`;
}

/** Calls `show` with a growing bar, once a second, until `work` has ended. */
export async function withProgressBar<T>(seconds: number, show: (bar: string) => void, work: Promise<T>): Promise<T> {
  let done = 0;
  show(progressBar(done, seconds));
  const timer = setInterval(() => {
    done += 1;
    show(progressBar(done, seconds));
  }, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}
