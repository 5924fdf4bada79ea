/** One page of a list, as client-node gives it. */
export interface Page<Item> {
  /** Null, not empty, where there is none. */
  readonly items: readonly Item[] | null;
  readonly metadata?: { readonly resourceVersion?: string; readonly _continue?: string };
}

/** What a page is asked for with. */
export interface PageQuery {
  readonly limit: number;
  readonly _continue?: string;
}

/** How many objects one page of a list has. */
export const pageSize = 500;

/**
 * Reads a list page by page.
 * @param fetchPage asks the API server for one
 * @returns the resource version of the list
 * @throws what `fetchPage` and `onItem` throw
 */
export async function eachItem<Item>(
  fetchPage: (query: PageQuery) => Promise<Page<Item>>,
  onItem: (item: Item) => void,
): Promise<string> {
  let version = '';
  let page: string | undefined;
  do {
    const { items, metadata } = await fetchPage({
      limit: pageSize,
      ...(page === undefined ? {} : { _continue: page }),
    });
    for (const item of items ?? []) onItem(item);
    version = metadata?.resourceVersion ?? '';
    page = metadata?._continue || undefined;
  } while (page !== undefined);
  return version;
}
